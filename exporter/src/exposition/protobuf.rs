//! `io.prometheus.client.MetricFamily` messages, each after its length: the one format that carries native histograms and
//! the times from which counters count.
//!
//! Written by hand: eight messages of a few fields each, field by field below, against a derive macro, a second copy of
//! all values in its structs and a build dependency. The tests read it back with `prost`, which knows the wire format
//! better than this file does.
//!
//! ```text
//! MetricFamily  1 name  2 help  3 type  4 metric*            Bucket     1 cumulative_count  2 upper_bound
//! Metric        1 label*  2 gauge  3 counter  7 histogram    BucketSpan 1 offset (zigzag)  2 length
//! LabelPair     1 name  2 value                              Timestamp  1 seconds  2 nanos
//! Gauge         1 value (double)
//! Counter       1 value (double)  3 created_timestamp
//! Histogram     1 sample_count  2 sample_sum  3 bucket*  5 schema (zigzag)  6 zero_threshold  7 zero_count
//!               12 positive_span*  13 positive_delta* (zigzag)  15 created_timestamp
//! ```

use crate::family::{Distribution, Families, Family, Series, Type, Value};
use crate::native::{Native, ZERO_THRESHOLD};

/// Writes the families.
pub fn encode(families: &Families) -> Vec<u8> {
    let mut bytes = Message::default();
    for (name, family) in families.iter() {
        bytes.delimited(|message| write_family(message, name, family));
    }
    bytes.0
}

fn write_family(message: &mut Message, name: &str, family: &Family) {
    message.text(1, name);
    message.text(2, &family.help);
    let kind = match family.kind {
        Type::Counter => 0,
        Type::Gauge => 1,
        Type::Histogram => 4,
    };
    message.varint(3, kind);
    for series in &family.series {
        message.message(4, |metric| write_metric(metric, family.kind, series));
    }
}

fn write_metric(metric: &mut Message, kind: Type, series: &Series) {
    for (name, value) in series.labels.iter() {
        metric.message(1, |pair| {
            pair.text(1, name);
            pair.text(2, value);
        });
    }
    let created = series.created_unix_ns;
    match &series.value {
        Value::Number(value) if kind == Type::Counter => metric.message(3, |counter| {
            counter.double(1, *value);
            timestamp(counter, 3, created);
        }),
        Value::Number(value) => metric.message(2, |gauge| gauge.double(1, *value)),
        Value::Distribution(distribution) => metric.message(7, |histogram| {
            write_histogram(histogram, distribution);
            timestamp(histogram, 15, created);
        }),
    }
}

fn write_histogram(histogram: &mut Message, distribution: &Distribution) {
    histogram.varint(1, distribution.count);
    histogram.double(2, distribution.sum);
    // The open end goes without saying: it is the count.
    for &(bound, at_most) in &distribution.buckets {
        histogram.message(3, |bucket| {
            bucket.varint(1, at_most);
            bucket.double(2, bound);
        });
    }
    if let Some(native) = &distribution.native {
        write_native(histogram, native);
    }
}

fn write_native(histogram: &mut Message, native: &Native) {
    histogram.varint(5, zigzag(native.schema.into()));
    histogram.double(6, ZERO_THRESHOLD);
    histogram.varint(7, native.zero_count);
    for span in &native.spans {
        histogram.message(12, |message| {
            message.varint(1, zigzag(span.offset.into()));
            message.varint(2, span.length.into());
        });
    }
    for &delta in &native.deltas {
        histogram.varint(13, zigzag(delta));
    }
}

fn timestamp(message: &mut Message, field: u32, unix_ns: u64) {
    if unix_ns > 0 {
        message.message(field, |time| {
            time.varint(1, unix_ns / 1_000_000_000);
            time.varint(2, unix_ns % 1_000_000_000);
        });
    }
}

/// Small numbers of either sign as small ones without.
fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// The bytes of a message.
#[derive(Default)]
struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

impl Message {
    fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.raw(value);
    }

    fn double(&mut self, field: u32, value: f64) {
        self.tag(field, FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, field: u32, text: &str) {
        self.tag(field, LENGTH_DELIMITED);
        self.raw(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.tag(field, LENGTH_DELIMITED);
        self.delimited(write);
    }

    /// Appends what `write` appends, after its length.
    fn delimited(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        // Nearly every message is shorter than 128 bytes, whose length is one byte; others are moved up afterwards.
        self.0.push(0);
        write(self);
        let length = self.0.len() - start - 1;
        let mut prefix = Self::default();
        if length < 0x80 {
            self.0[start] = length as u8;
        } else {
            prefix.raw(length as u64);
            self.0.splice(start..=start, prefix.0);
        }
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        self.raw(u64::from(field << 3 | wire_type));
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests;
