//! For tests: an engine in this process's memory, and what a source would see of it.

use std::sync::Arc;
use std::time::Duration;

use quantumflow_region::{HistogramSnapshot, Metric, RegionOptions, RegionReader, RegionWriter, Shape, ThreadWriter};

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

/// A histogram of these raw values, as a reader copies it from a region.
pub(crate) fn histogram_of(shape: Shape, values: &[u64]) -> HistogramSnapshot {
    static WIDE: Metric = Metric::latency("hft_x_seconds").help("Values.");
    let mut metric = WIDE;
    metric.shape = Some(shape);
    let metric: &'static Metric = Box::leak(Box::new(metric));
    let region = RegionWriter::private(&RegionOptions::new("engine", 1)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    let histogram = writer.histogram(metric, &[]).unwrap();
    values.iter().for_each(|&value| histogram.record(value));
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    snapshot.histogram("hft_x_seconds", &[]).unwrap().clone()
}
