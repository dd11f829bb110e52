use super::*;
use crate::family::labels;
use crate::native::Span;
use proptest::prelude::*;
use prost::Message as _;

/// The messages as Prometheus' client model declares them.
mod model {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MetricFamily {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) help: Option<String>,
        #[prost(int32, optional, tag = "3")]
        pub(super) kind: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub(super) gauge: Option<Gauge>,
        #[prost(message, optional, tag = "3")]
        pub(super) counter: Option<Counter>,
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct LabelPair {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) value: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Gauge {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Counter {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) created: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub(super) sample_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub(super) sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) bucket: Vec<Bucket>,
        #[prost(sint32, optional, tag = "5")]
        pub(super) schema: Option<i32>,
        #[prost(double, optional, tag = "6")]
        pub(super) zero_threshold: Option<f64>,
        #[prost(uint64, optional, tag = "7")]
        pub(super) zero_count: Option<u64>,
        #[prost(message, repeated, tag = "12")]
        pub(super) positive_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub(super) positive_delta: Vec<i64>,
        #[prost(message, optional, tag = "15")]
        pub(super) created: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Bucket {
        #[prost(uint64, optional, tag = "1")]
        pub(super) cumulative_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub(super) upper_bound: Option<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct BucketSpan {
        #[prost(sint32, optional, tag = "1")]
        pub(super) offset: Option<i32>,
        #[prost(uint32, optional, tag = "2")]
        pub(super) length: Option<u32>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Timestamp {
        #[prost(int64, optional, tag = "1")]
        pub(super) seconds: Option<i64>,
        #[prost(int32, optional, tag = "2")]
        pub(super) nanos: Option<i32>,
    }
}

fn decode(mut bytes: &[u8]) -> Vec<model::MetricFamily> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(model::MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    families
}

fn timestamp(seconds: i64, nanos: i32) -> model::Timestamp {
    model::Timestamp {
        seconds: Some(seconds),
        nanos: Some(nanos),
    }
}

#[test]
fn numbers_keep_their_labels_and_counters_their_start() {
    let mut families = Families::default();
    families.add("b", Type::Gauge, "Quite \"raw\"\n.", &[("z", "é"), ("a", "1")], -0.5);
    let number = Value::Number(3.0);
    families
        .try_add(
            "a_total",
            Type::Counter,
            "A.",
            labels(&[]),
            number,
            1_700_000_000_500_000_001,
        )
        .unwrap();
    let decoded = decode(&encode(&families));
    let [a, b] = decoded.as_slice() else {
        panic!("{decoded:?}")
    };
    assert_eq!(
        (a.name.as_deref(), a.help.as_deref(), a.kind),
        (Some("a_total"), Some("A."), Some(0))
    );
    let counter = a.metric[0].counter.as_ref().unwrap();
    assert_eq!(
        (counter.value, &counter.created),
        (Some(3.0), &Some(timestamp(1_700_000_000, 500_000_001)))
    );
    assert_eq!((b.help.as_deref(), b.kind), (Some("Quite \"raw\"\n."), Some(1)));
    assert_eq!(b.metric[0].gauge.as_ref().unwrap().value, Some(-0.5));
    let pairs: Vec<_> = b.metric[0]
        .label
        .iter()
        .map(|l| (l.name.as_deref().unwrap(), l.value.as_deref().unwrap()))
        .collect();
    assert_eq!(pairs, [("a", "1"), ("z", "é")]);
}

proptest! {
    #[test]
    fn histograms_read_back_as_they_were(
        buckets in prop::collection::vec((any::<f64>(), any::<u64>()), 0..40),
        sum: f64, count: u64, zero_count: u64, schema in -4..9, created: u64,
        spans in prop::collection::vec((any::<i32>(), any::<u32>()), 0..20),
        deltas in prop::collection::vec(any::<i64>(), 0..200),
        value in "\\PC{0,300}",
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let native = Native { schema, zero_count, spans: spans.clone(), deltas: deltas.clone() };
        let distribution = Distribution { buckets: buckets.clone(), sum, count, native: Some(native) };
        let mut families = Families::default();
        let labels = labels(&[("x", &value)]);
        families.try_add("h", Type::Histogram, "H.", labels, Value::Distribution(distribution), created).unwrap();
        families.add("i", Type::Gauge, "Comes after.", &[], 1.0);
        let decoded = decode(&encode(&families));
        prop_assert_eq!((decoded.len(), decoded[0].kind), (2, Some(4)));
        let metric = &decoded[0].metric[0];
        prop_assert_eq!(metric.label.first().and_then(|l| l.value.clone()).unwrap_or_default(), value);
        let histogram = metric.histogram.as_ref().unwrap();
        prop_assert_eq!((histogram.sample_count, histogram.zero_count, histogram.schema), (Some(count), Some(zero_count), Some(schema)));
        prop_assert_eq!(histogram.sample_sum.unwrap().to_bits(), sum.to_bits());
        prop_assert_eq!(histogram.zero_threshold, Some(ZERO_THRESHOLD));
        let read: Vec<_> = histogram.bucket.iter().map(|b| (b.upper_bound.unwrap(), b.cumulative_count.unwrap())).collect();
        prop_assert_eq!(read, buckets);
        let read: Vec<_> = histogram.positive_span.iter().map(|s| Span { offset: s.offset.unwrap(), length: s.length.unwrap() }).collect();
        prop_assert_eq!(read, spans);
        prop_assert_eq!(&histogram.positive_delta, &deltas);
        let expected = (created > 0).then(|| timestamp((created / 1_000_000_000) as i64, (created % 1_000_000_000) as i32));
        prop_assert_eq!(&histogram.created, &expected);
    }
}
