//! What a line of a log is about, in the one word that the format has room for.
//!
//! A tag must not hold what separates fields and lines: commas, blanks, quotes. A series becomes `stage=decrypt`,
//! `feature_latency` or `prediction_latency:model_name=mlp_v1`: the metric without the prefix and the unit that all of
//! them share, then its labels. The metric is left out where the label already says it (`stage_latency` by `stage`).

use std::fmt;
use std::sync::Arc;

use quantumflow_region::SeriesMeta;
use quantumflow_region::catalogue::STAGES;

/// A word that a line can be tagged with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// The text cannot be a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a tag: use 1 to {MAX_BYTES} visible ASCII characters without comma, quote or backslash")]
pub struct InvalidTag(String);

const END_TO_END: &str = "stage=total";

/// Longest tag. A series' labels are shorter together in any sound region.
const MAX_BYTES: usize = 1024;

impl Tag {
    /// A tag of this text.
    pub fn new(text: &str) -> Result<Self, InvalidTag> {
        let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b',' | b'"' | b'\\');
        if text.is_empty() || text.len() > MAX_BYTES || !text.bytes().all(allowed) {
            return Err(InvalidTag(text.chars().take(80).collect()));
        }
        Ok(Self(text.into()))
    }

    /// The tag of a region's series. What a tag cannot hold is written as `%` and two hexadecimal digits, so different
    /// series have different tags. A series with more labels than a tag can hold has none.
    pub fn of_series(meta: &SeriesMeta) -> Result<Self, InvalidTag> {
        let name = meta.name.strip_prefix("hft_").unwrap_or(&meta.name);
        let name = name.strip_suffix("_seconds").unwrap_or(name);
        let mut text = String::new();
        let says_it = |(label, _): &(Arc<str>, Arc<str>)| name.strip_suffix("_latency") == Some(&**label);
        if !(meta.labels.len() == 1 && says_it(&meta.labels[0])) {
            push_escaped(&mut text, name);
        }
        for (index, (label, value)) in meta.labels.iter().enumerate() {
            match (text.is_empty(), index) {
                (true, _) => {}
                (false, 0) => text.push(':'),
                (false, _) => text.push(';'),
            }
            push_escaped(&mut text, label);
            text.push('=');
            push_escaped(&mut text, value);
        }
        Self::new(&text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the latency from the kernel to the signal, which logs repeat without a tag.
    pub(crate) fn is_end_to_end(&self) -> bool {
        self.as_str() == END_TO_END
    }

    /// The tag of the latency from the kernel to the signal.
    pub(crate) fn end_to_end() -> Self {
        Self(END_TO_END.into())
    }

    /// The order of tables: the stages from the kernel to the signal, then everything else by name.
    pub(crate) fn sort_key(text: &str) -> (usize, &str) {
        let stage = text.strip_prefix("stage=");
        let index = stage.and_then(|stage| STAGES.iter().position(|known| *known == stage));
        (index.unwrap_or(STAGES.len()), text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_escaped(text: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'/' | b'+' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_separates_fields() {
        for bad in [
            "",
            "a,b",
            "a b",
            "a\nb",
            "a\"b",
            "a\tb",
            "µ",
            &"x".repeat(MAX_BYTES + 1),
        ] {
            assert!(Tag::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Tag::new("stage=decrypt").unwrap().as_str(), "stage=decrypt");
    }

    #[test]
    fn escapes_keep_different_values_apart() {
        let escaped = |part| {
            let mut text = String::new();
            push_escaped(&mut text, part);
            text
        };
        assert_eq!(escaped("a,b c=d%"), "a%2Cb%20c%3Dd%25");
        assert_ne!(escaped("a%2C"), escaped("a,"));
        assert!(Tag::new(&escaped("µ\n\"")).is_ok());
    }

    #[test]
    fn stages_come_in_the_order_of_the_path() {
        let mut tags = ["feature_latency", "stage=total", "stage=book", "stage=kernel", "a"];
        tags.sort_by_key(|tag| Tag::sort_key(tag));
        assert_eq!(
            tags,
            ["stage=kernel", "stage=book", "stage=total", "a", "feature_latency"]
        );
    }
}
