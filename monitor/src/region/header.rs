//! What the first page of a file claims, also of a format that the reader refuses.
//!
//! The fields up to `feature_compat` stay where they are in every version, so that much can be said of any file of the
//! family. Nothing here is believed for more than being printed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use quantumflow_region::layout::{self, Header, MAGIC, PAGE, Section, limit};
use serde_json::json;

/// A private copy of the start of a file.
pub(super) struct FirstPage {
    header: Header,
    sections: Vec<Section>,
}

impl FirstPage {
    /// Reads it; `None` where the file is too short or of another kind.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut page = Vec::with_capacity(PAGE);
        File::open(path)?.take(PAGE as u64).read_to_end(&mut page)?;
        Ok(Self::of(&page))
    }

    fn of(page: &[u8]) -> Option<Self> {
        let header: Header = bytemuck::pod_read_unaligned(page.get(..size_of::<Header>())?);
        if header.magic != MAGIC {
            return None;
        }
        let stride = header.section_stride as usize;
        let count = header.section_count.min(limit::SECTIONS) as usize;
        let entries = (0..count).map_while(|index| {
            let at = size_of::<Header>() + index * stride;
            page.get(at..at + size_of::<Section>())
                .map(bytemuck::pod_read_unaligned)
        });
        // A table of another stride than this is not one that is known.
        let is_known = header.major == layout::VERSION_MAJOR && (size_of::<Section>()..=256).contains(&stride);
        Some(Self {
            header,
            sections: if is_known { entries.collect() } else { Vec::new() },
        })
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let Header {
            major,
            minor,
            region_len,
            feature_incompat,
            feature_compat,
            schema_hash,
            ..
        } = self.header;
        let sections = self.sections.iter().map(|section| {
            let Section { kind, off, len, stride, count, .. } = *section;
            json!({ "type": kind, "name": name_of(kind), "offset": off, "bytes": len, "stride": stride, "count": count })
        });
        json!({
            "version": format!("{major}.{minor}"), "region_bytes": region_len, "feature_incompat": feature_incompat,
            "feature_compat": feature_compat, "schema_hash": format!("{schema_hash:016x}"),
            "sections": sections.collect::<Vec<_>>(),
        })
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Header {
            major,
            minor,
            region_len,
            feature_incompat,
            feature_compat,
            schema_hash,
            ..
        } = self.header;
        writeln!(
            out,
            "format     {major}.{minor}, {region_len} bytes, schema {schema_hash:016x}"
        )?;
        let ours = (layout::VERSION_MAJOR, layout::VERSION_MINOR);
        if (major, minor) != ours {
            writeln!(out, "           this program knows {}.{}", ours.0, ours.1)?;
        }
        if (feature_incompat, feature_compat) != (0, 0) {
            writeln!(
                out,
                "features   must know {feature_incompat:#x}, may know {feature_compat:#x}"
            )?;
        }
        for section in &self.sections {
            let Section {
                kind,
                off,
                len,
                stride,
                count,
                ..
            } = *section;
            let name = name_of(kind).map_or_else(|| format!("unknown type {kind}"), str::to_owned);
            let table = if count > 0 {
                format!(", {count} x {stride}")
            } else {
                String::new()
            };
            writeln!(out, "section    {name:<13} at {off:<8} {len} bytes{table}")?;
        }
        Ok(())
    }
}

fn name_of(kind: u32) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|(number, _)| *number == kind)
        .map(|(_, name)| *name)
}

const SECTIONS: [(u32, &str); 10] = [
    (layout::section::DESC, "DESC"),
    (layout::section::STRINGS, "STRINGS"),
    (layout::section::LABELS, "LABELS"),
    (layout::section::LIVE, "LIVE"),
    (layout::section::WRITER, "WRITER"),
    (layout::section::HIST, "HIST"),
    (layout::section::SHARED, "SHARED"),
    (layout::section::EVENTS, "EVENTS"),
    (layout::section::EVENT_KINDS, "EVENT_KINDS"),
    (layout::section::SUBJECTS, "SUBJECTS"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Engine, shm};

    #[test]
    fn any_byte_of_a_header_may_be_wrong() {
        let dir = shm();
        let engine = Engine::start(dir.path());
        let bytes = std::fs::read(engine.path()).unwrap();
        for at in 0..1024 {
            for wrong in [0, 1, 0x7F, 0xFF] {
                let mut page = bytes[..PAGE].to_vec();
                page[at] = wrong;
                if let Some(page) = FirstPage::of(&page) {
                    page.write(&mut Vec::new()).unwrap();
                    assert!(page.json()["sections"].as_array().unwrap().len() <= limit::SECTIONS as usize);
                }
            }
        }
        for len in 0..PAGE {
            assert_eq!(FirstPage::of(&bytes[..len]).is_some(), len >= size_of::<Header>());
        }
    }
}
