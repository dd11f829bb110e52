//! The labels of a region's series, checked once and not at every scrape: they are what most of a scrape would be spent
//! on, and they never change while the series are the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use quantumflow_region::{Kind, SeriesMeta, Snapshot};

use super::{ANSWERED_BY_HEADER, ENGINE, OWN_NAMES};
use crate::family::{Labels, Refusal, Type, checked};
use crate::source::Host;

/// What is known of the engines' series from the scrape before, by the engine's name.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<Arc<str>, Known>>);

impl Memory {
    /// What is known of an engine's series, after a look at whether they are still the same. Another scrape at the same
    /// time finds nothing and works it out again.
    pub(super) fn take(&self, engine: &Arc<str>, snapshot: &Snapshot) -> Known {
        let known = self.known(|known| known.remove(engine));
        known
            .filter(|known| known.is_of(snapshot))
            .unwrap_or_else(|| Known::new(engine, snapshot))
    }

    /// Keeps it for the next scrape.
    pub(super) fn keep(&self, engine: Arc<str>, known: Known) {
        self.known(|all| all.insert(engine, known));
    }

    /// Forgets engines that are gone.
    pub(super) fn forget_others(&self, host: &Host) {
        self.known(|known| known.retain(|engine, _| host.engine(engine).is_some()));
    }

    fn known<T>(&self, work: impl FnOnce(&mut HashMap<Arc<str>, Known>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known of one engine's series.
pub(super) struct Known(Vec<Entry>);

struct Entry {
    meta: Arc<SeriesMeta>,
    labels: Verdict,
}

/// The series' labels with the engine's; `None` for one that the exporter answers better itself.
type Verdict = Result<Option<Arc<Labels>>, Refusal>;

impl Known {
    fn new(engine: &Arc<str>, snapshot: &Snapshot) -> Self {
        let label: Arc<str> = ENGINE.into();
        let mut seen = HashSet::new();
        let entries = snapshot.series.iter().map(|series| {
            let meta = &series.meta;
            let labels = verdict(meta, (&label, engine)).and_then(|labels| match labels {
                Some(labels) if !seen.insert((Arc::clone(&meta.name), Arc::clone(&labels))) => Err(Refusal::Duplicate),
                labels => Ok(labels),
            });
            Entry {
                meta: Arc::clone(meta),
                labels,
            }
        });
        Self(entries.collect())
    }

    /// Whether the descriptions are the very ones that this was made from.
    fn is_of(&self, snapshot: &Snapshot) -> bool {
        let pairs = || self.0.iter().zip(&snapshot.series);
        self.0.len() == snapshot.series.len() && pairs().all(|(entry, series)| Arc::ptr_eq(&entry.meta, &series.meta))
    }

    /// By the series' place in the snapshot.
    pub(super) fn labels(&self) -> impl Iterator<Item = &Verdict> {
        self.0.iter().map(|entry| &entry.labels)
    }
}

fn verdict(meta: &SeriesMeta, (label, engine): (&Arc<str>, &Arc<str>)) -> Verdict {
    let name = &*meta.name;
    if ANSWERED_BY_HEADER.contains(&name) {
        return Ok(None);
    }
    if OWN_NAMES.contains(&name) || name.starts_with("process_") {
        return Err(Refusal::NameTaken);
    }
    let mut labels = Labels::with_capacity(meta.labels.len() + 1);
    labels.push((Arc::clone(label), Arc::clone(engine)));
    for (name, value) in &meta.labels {
        // As Prometheus does with a label that meets one of its own.
        let name = if **name == *ENGINE {
            "exported_engine".into()
        } else {
            Arc::clone(name)
        };
        labels.push((name, Arc::clone(value)));
    }
    let kind = if meta.kind == Kind::Histogram {
        Type::Histogram
    } else {
        Type::Gauge
    };
    checked(labels, kind).map(Some)
}
