use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::time::SECOND_NS;

const START: u64 = 1_763_725_440 * SECOND_NS;

/// Tag, second, values.
type Lines = Vec<(usize, u64, Vec<u64>)>;

const TAGS: [&str; 3] = ["", "stage=parse", "b"];

fn log(lines: &Lines) -> Vec<u8> {
    let mut log = LogWriter::begin(Vec::new(), LogHeader::latencies(START)).unwrap();
    for (tag, second, values) in lines {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 36, 2).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        let tag = Tag::new(TAGS[*tag]).ok();
        let start = START + second * SECOND_NS;
        log.write(tag.as_ref(), (start, start + SECOND_NS), &histogram).unwrap();
    }
    log.finish().unwrap()
}

fn merged(logs: &[&[u8]], join: Join) -> Vec<u8> {
    let mut readers: Vec<_> = logs
        .iter()
        .map(|log| LogReader::new(Cursor::new(log.to_vec()), "log"))
        .collect();
    let mut out = Vec::new();
    merge(
        &mut readers,
        &Selection::default(),
        join,
        LogHeader::latencies(0),
        &mut out,
    )
    .unwrap();
    out
}

/// Tag, interval and counts by value of a line.
type Read = (String, (u64, u64), Vec<(u64, u64)>);

fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect()
}

fn read(log: &[u8]) -> Vec<Read> {
    let mut reader = LogReader::new(Cursor::new(log.to_vec()), "log");
    let mut all = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        let interval = (line.start_ns, line.end_ns());
        all.push((
            line.tag.unwrap_or("").to_owned(),
            interval,
            counts(&line.histogram().unwrap()),
        ));
    }
    all
}

fn lines() -> impl Strategy<Value = Lines> {
    let line = (0..TAGS.len(), 0u64..20, prop::collection::vec(0u64..1 << 36, 0..5));
    prop::collection::vec(line, 0..12).prop_map(|mut lines| {
        lines.sort_by_key(|(_, second, _)| *second);
        lines
    })
}

proptest! {
    #[test]
    fn the_order_of_merging_does_not_matter(a in lines(), b in lines(), c in lines()) {
        let (a, b, c) = (log(&a), log(&b), log(&c));
        for join in [Join::Whole, Join::Every(3 * SECOND_NS)] {
            let left = merged(&[&merged(&[&a, &b], join), &c], join);
            let right = merged(&[&a, &merged(&[&b, &c], join)], join);
            prop_assert_eq!(read(&left), read(&merged(&[&c, &a, &b], join)));
            prop_assert_eq!(read(&left), read(&right));
        }
    }

    #[test]
    fn no_count_is_lost(a in lines(), b in lines(), seconds in 1u64..30) {
        let (log_a, log_b) = (log(&a), log(&b));
        let sum = |lines: &[Read]| {
            let mut sum = std::collections::BTreeMap::new();
            for (tag, _, counts) in lines {
                for (value, count) in counts {
                    *sum.entry((tag.clone(), *value)).or_insert(0) += count;
                }
            }
            sum
        };
        let expected = sum(&[read(&log_a), read(&log_b)].concat());
        for join in [Join::Lines, Join::Every(seconds * SECOND_NS), Join::Whole] {
            let all = read(&merged(&[&log_a, &log_b], join));
            prop_assert_eq!(sum(&all), expected.clone());
            match join {
                Join::Lines => prop_assert_eq!(all.len(), a.len() + b.len()),
                Join::Whole => {
                    let tags: std::collections::BTreeSet<_> = a.iter().chain(&b).map(|line| line.0).collect();
                    prop_assert_eq!(all.len(), tags.len());
                }
                Join::Every(ns) => {
                    // One line for a tag and a stretch; lines keep the order of time.
                    let places: Vec<_> = all.iter().map(|(tag, (start, _), _)| (start / ns, tag)).collect();
                    let mut unique = places.clone();
                    unique.sort();
                    unique.dedup();
                    prop_assert_eq!(unique.len(), places.len());
                    prop_assert!(places.windows(2).all(|pair| pair[0].0 <= pair[1].0));
                }
            }
        }
    }
}

#[test]
fn lines_come_in_the_order_of_time() {
    let a = log(&vec![(1, 0, vec![1]), (1, 4, vec![2]), (1, 5, vec![3])]);
    let b = log(&vec![(2, 1, vec![4]), (2, 9, vec![5])]);
    let seconds: Vec<_> = read(&merged(&[&a, &b], Join::Lines))
        .iter()
        .map(|l| (l.1.0 - START) / SECOND_NS)
        .collect();
    assert_eq!(seconds, [0, 1, 4, 5, 9]);
}

#[test]
fn histograms_of_different_digits_are_merged_by_value() {
    let mut tags = Tags::default();
    for digits in [3, 1, 5, 2] {
        let mut histogram = Histogram::new_with_bounds(1, 1000 << digits, digits).unwrap();
        histogram.record(500).unwrap();
        assert!(tags.add("x", &histogram));
    }
    assert_eq!(tags.get("x").unwrap().len(), 4);
}

#[test]
fn memory_has_a_ceiling() {
    let large = Histogram::<u64>::new_with_bounds(1, 1 << 30, 5).unwrap();
    let mut tags = Tags::default();
    let added = (0..1000)
        .take_while(|index| tags.add(&format!("tag{index}"), &large))
        .count();
    assert!((10..1000).contains(&added), "{added}");
    let mut tags = Tags::default();
    let small = Histogram::<u64>::new_with_bounds(1, 2, 0).unwrap();
    assert!((0..1000).all(|index| tags.add(&format!("tag{index}"), &small)));
}
