//! Simulated venues and an engine on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quantumflow::config::{self, Config};
use quantumflow::hot::{Output, Prediction};
use quantumflow::model::{Model, ModelSet};
use quantumflow::wiring::{self, Predicting, Running};
use quantumflow_feeds::sim::{SimConfig, SimHandle, SimStats, Simulator};
use quantumflow_region::{Metric, RegionOptions, RegionReader, RegionWriter, Snapshot, catalogue};
use tempfile::TempDir;

/// Venues, an engine on them, and the region that the engine writes.
pub(crate) struct Rig {
    sims: Vec<SimHandle>,
    running: Running<Bytes>,
    reader: RegionReader,
    region: RegionWriter,
    stop: Arc<AtomicBool>,
    _dir: TempDir,
}

/// Everything about predictions that must not depend on time: the features, and what the model made of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) predictions: u64,
    /// How many of each instrument, by its place in the shard.
    pub(crate) of_symbol: BTreeMap<u32, u64>,
}

impl Output for Bytes {
    fn publish(&mut self, prediction: &Prediction<'_>) {
        self.predictions += 1;
        *self.of_symbol.entry(prediction.symbol).or_default() += 1;
        self.bytes.extend_from_slice(&prediction.update.update_id.to_le_bytes());
        self.bytes
            .extend_from_slice(&prediction.update.exchange_time.0.to_le_bytes());
        prediction
            .features
            .iter()
            .for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
        prediction
            .model
            .probabilities
            .iter()
            .for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
        self.bytes.extend([
            prediction.model.class as u8,
            prediction.signal as u8,
            prediction.update.quality as u8,
            u8::from(prediction.beyond_horizon),
        ]);
    }
}

impl Rig {
    /// Starts both. `feed` is what the feed's section says besides venue, addresses and trust.
    pub(crate) fn start(sim: SimConfig, feed: &str, model: Option<&Arc<Model>>) -> Self {
        Self::start_all(vec![(sim, feed.to_owned())], model)
    }

    /// Starts several venues and one engine that has a feed on each.
    pub(crate) fn start_all(sims: Vec<(SimConfig, String)>, model: Option<&Arc<Model>>) -> Self {
        let dir = TempDir::new().unwrap();
        let mut text = "[engine]\nidle = \"wait\"\nlock_memory = false\n".to_owned();
        let start = |(index, (sim, feed)): (usize, (SimConfig, String))| {
            let venue = sim.venue;
            let sim = Simulator::start(sim).expect("the simulator starts");
            let (url, rest_url) = (sim.ws_url(), sim.rest_url());
            text.push_str(&format!(
                "[[feed]]\nvenue = \"{venue}\"\nurl = \"{url}\"\nrest_url = \"{rest_url}\"\n"
            ));
            if let Some(pem) = sim.authority_pem() {
                let path = dir.path().join(format!("ca-{index}.pem"));
                std::fs::write(&path, pem).unwrap();
                text.push_str(&format!("ca_file = \"{}\"\n", path.display()));
            }
            text.push_str(&feed);
            sim
        };
        let sims = sims.into_iter().enumerate().map(start).collect();
        let config: Config = config::parse(&text, Path::new("test.toml")).expect("the configuration is good");
        let mut options = RegionOptions::new("test", 1);
        options.bytes = 8 << 20;
        wiring::make_room(&mut options, &wiring::symbols_of(&config));
        let region = RegionWriter::private(&options).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let predicting = model.map(|model| Predicting {
            models: ModelSet::from(Arc::clone(model)),
            reload: None,
        });
        let running = wiring::launch(&config, &region, predicting, Bytes::default(), &stop).expect("the engine starts");
        let reader = RegionReader::of(&region).unwrap();
        Self {
            sims,
            running,
            reader,
            region,
            stop,
            _dir: dir,
        }
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        self.reader.snapshot().unwrap()
    }

    /// The sum of a metric over the series with these labels.
    pub(crate) fn total(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
        total(&self.snapshot(), metric, labels)
    }

    /// What the flight recorder holds about `subject`, oldest first, without times and durations.
    pub(crate) fn events(&self, subject: &str) -> Vec<String> {
        let threads = self.reader.events().unwrap();
        let of_hot = threads.iter().filter(|thread| &*thread.writer == "hot-0");
        let texts = of_hot.flat_map(|thread| thread.events.iter().map(|event| event.to_string()));
        let about = texts.filter(|text| text.split(' ').nth(1) == Some(subject));
        about
            .map(|text| {
                let words = text.split(' ').filter(|word| !word.contains("_ns="));
                words.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// Waits until the counts say what is expected; says what they said instead.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let snapshot = self.snapshot();
            if is_so(&snapshot) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen: {:#?}",
                values(&snapshot)
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Messages that the venues have sent by now, in the order in which they were started.
    pub(crate) fn sent(&self) -> Vec<u64> {
        let messages = |sim: &SimHandle| sim.stats().text_messages().messages;
        self.sims.iter().map(messages).collect()
    }

    /// Waits until every message that the venues have sent is counted.
    #[track_caller]
    pub(crate) fn wait_for_all_that_was_sent(&mut self) {
        let sent = self.sent().iter().sum::<u64>() as f64;
        self.wait_for("the last message", |snapshot| {
            total(snapshot, &catalogue::FEED_MESSAGES, &[]) >= sent
        });
    }

    /// Ends all and returns what came out; of the venues' counts those of the first.
    pub(crate) fn finish(mut self) -> (Bytes, SimStats, Snapshot) {
        self.stop.store(true, Ordering::Relaxed);
        let bytes = self.running.join().expect("no thread panicked");
        let snapshot = self.reader.snapshot().unwrap();
        drop(self.region);
        (bytes, self.sims[0].stop(), snapshot)
    }
}

/// The sum of a metric over the series with these labels.
pub(crate) fn total(snapshot: &Snapshot, metric: &Metric, labels: &[(&str, &str)]) -> f64 {
    snapshot.total(metric.name, labels)
}

/// Every series that is not zero, for the message of a failed expectation.
pub(crate) fn values(snapshot: &Snapshot) -> Vec<String> {
    let of = |series: &quantumflow_region::Series| {
        let value = series.value.as_f64().filter(|value| *value != 0.0)?;
        let labels: Vec<_> = series.meta.labels.iter().map(|(_, value)| value.to_string()).collect();
        Some(format!("{} {labels:?} {value}", series.meta.name))
    };
    snapshot.series.iter().filter_map(of).collect()
}

/// A file of the recordings that lie beside the project, if they do.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no recording {}", path.display());
    None
}
