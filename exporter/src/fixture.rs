//! For tests: an engine in this process's memory, and what a source would see of it.

use std::sync::Arc;
use std::time::Duration;

use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, ThreadWriter};

use crate::source::{Condition, Pass, Region, Sight, View};

/// An engine without a process.
pub(crate) struct Engine {
    pub(crate) region: RegionWriter,
    pub(crate) hot: ThreadWriter,
    reader: RegionReader,
}

impl Engine {
    /// That started at `start_unix_ns`.
    pub(crate) fn new(start_unix_ns: u64) -> Self {
        let region = RegionWriter::private(&RegionOptions::new("engine", start_unix_ns)).unwrap();
        let hot = region.writer("hot-0").unwrap();
        let reader = RegionReader::of(&region).unwrap();
        Self { region, hot, reader }
    }

    /// What is seen of it while it is up: since the last look housekeeping has reported once.
    pub(crate) fn sight(&mut self) -> Sight {
        self.region.live().heartbeat(1, 1);
        let region = Region {
            file: "engine.1.2.met".into(),
            info: self.reader.info().clone(),
        };
        let mut sight = down(Condition::Live, None);
        sight.view.region = Some(Arc::new(region));
        sight.pass = Some(Pass {
            snapshot: Arc::new(self.reader.snapshot().unwrap()),
            took: Duration::from_micros(200),
        });
        sight
    }
}

/// An engine of which no more is known.
pub(crate) fn down(condition: Condition, reason: Option<&str>) -> Sight {
    Sight {
        engine: "engine".into(),
        view: View {
            condition,
            reason: reason.map(str::to_owned),
            region: None,
            stuck: Vec::new(),
            idle: Vec::new(),
        },
        pass: None,
    }
}
