use super::*;
use crate::fixture::histogram_of;
use proptest::prelude::*;

/// Index and count of every bucket that a span covers, as the format's own rules read them.
fn read(native: &Native) -> Vec<(i32, i64)> {
    let mut deltas = native.deltas.iter();
    let (mut index, mut count) = (0, 0);
    let mut buckets = Vec::new();
    for span in &native.spans {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("a delta for each bucket");
            buckets.push((index, count));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "no delta without a bucket");
    buckets
}

#[test]
fn every_table_rises_and_errs_by_half_a_bucket_at_most() {
    for precision in 1..=12 {
        let shape = Shape::new(precision, 30).unwrap();
        for scale in [-9, -6, 0, 3] {
            let table = Table::new(shape, scale);
            let base = 2f64.powf(2f64.powi(-table.schema));
            assert!(
                base - 1.0 >= 2f64.powi(-i32::from(precision)),
                "wider than the region's"
            );
            let mut earlier = i32::MIN;
            for bucket in 1..shape.bucket_count() {
                let index = table.index[bucket];
                assert!(index >= earlier);
                earlier = index;
                let (low, high) = (shape.lowest(bucket) as f64, shape.highest(bucket) as f64);
                let half = (high - low) / 2.0 / low;
                let edges = (base.powi(index - 1), base.powi(index));
                for value in [low, high].map(|raw| to_base(raw, scale)) {
                    let slack = 1.0 + half + 1e-9;
                    assert!(
                        value > edges.0 / slack && value <= edges.1 * slack,
                        "{shape:?} {scale}: {value} in ({}, {}]",
                        edges.0,
                        edges.1
                    );
                }
            }
        }
    }
}

#[test]
fn two_digits_become_schema_five() {
    assert_eq!(Table::new(Shape::LATENCY_NS, -9).schema, 5);
    assert_eq!(Table::new(Shape::new(5, 36).unwrap(), -9).schema, 4);
    assert_eq!(Table::new(Shape::new(10, 36).unwrap(), -9).schema, 5);
}

#[test]
fn gaps_of_two_are_filled_and_longer_ones_begin_a_span() {
    let mut native = Native::default();
    let mut run = Run::default();
    for (index, count) in [(-4, 3), (-3, 1), (0, 5), (4, 2)] {
        run.add(index, count, &mut native);
    }
    run.flush(&mut native);
    let span = |offset, length| Span { offset, length };
    assert_eq!(native.spans, [span(-4, 5), span(3, 1)]);
    assert_eq!(native.deltas, [3, -2, -1, 0, 5, -3]);
    assert_eq!(read(&native), [(-4, 3), (-3, 1), (-2, 0), (-1, 0), (0, 5), (4, 2)]);
}

#[test]
fn an_empty_histogram_has_no_buckets() {
    let native = Table::new(Shape::LATENCY_NS, -9).convert(&HistogramSnapshot::empty(Shape::LATENCY_NS));
    assert_eq!((native.zero_count, native.spans.len(), native.deltas.len()), (0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The judge: every value's own exponential bucket, computed from the value.
    #[test]
    fn f13_native_buckets_are_those_of_the_values_or_next_to_them(values in prop::collection::vec((0_u64..1 << 36, 0_u32..36), 0..200)) {
        let values: Vec<u64> = values.into_iter().map(|(value, shift)| value >> shift).collect();
        let table = Table::new(Shape::LATENCY_NS, -9);
        let native = table.convert(&histogram_of(Shape::LATENCY_NS, &values));
        let buckets = read(&native);
        prop_assert!(buckets.iter().all(|(_, count)| *count >= 0));
        let total: i64 = buckets.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(total as u64 + native.zero_count, values.len() as u64);
        prop_assert_eq!(native.zero_count, values.iter().filter(|&&v| v == 0).count() as u64);
        let mut sorted: Vec<u64> = values.into_iter().filter(|&v| v > 0).collect();
        sorted.sort_unstable();
        let indices = buckets.iter().flat_map(|&(index, count)| std::iter::repeat_n(index, count as usize));
        for (value, index) in sorted.into_iter().zip(indices) {
            let own = ((value as f64 / 1e9).log2() * 32.0).ceil() as i32;
            prop_assert!((own - index).abs() <= 1, "{value} ns in bucket {index}, its own is {own}");
        }
    }
}
