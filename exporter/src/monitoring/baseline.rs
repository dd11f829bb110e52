//! Where each engine stood some seconds ago.
//!
//! Two copies are kept of an engine, taken [`SPACING`] apart; the older one is compared with. So there always is one that
//! is between one and two spacings old, whoever asks and however often. Histograms, which are most of a snapshot's size,
//! are left out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quantumflow_region::Snapshot;

use crate::health::Earlier;
use crate::source::{Host, Sight};

/// Time between the two copies of an engine.
pub(super) const SPACING: Duration = Duration::from_secs(10);

/// The copies of all engines, by name.
#[derive(Default)]
pub(super) struct Baselines {
    engines: HashMap<Arc<str>, Pair>,
    remembered: Option<Instant>,
}

struct Pair {
    older: Option<Copy>,
    newer: Copy,
}

#[derive(Clone)]
struct Copy {
    at: Instant,
    instance_id: u64,
    snapshot: Arc<Snapshot>,
}

impl Baselines {
    /// Whether it is time to remember the engines again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.remembered
            .is_none_or(|at| now.saturating_duration_since(at) >= SPACING)
    }

    /// Takes copies, where it is time to. Engines that are not up any more are forgotten.
    pub(super) fn remember(&mut self, host: &Host, now: Instant) {
        if !self.is_due(now) {
            return;
        }
        self.remembered = Some(now);
        let mut engines = HashMap::new();
        for sight in &host.engines {
            let Some(newer) = Copy::of(sight, now) else { continue };
            let before = self.engines.remove(&sight.engine).map(|pair| pair.newer);
            let older = before.filter(|before| before.instance_id == newer.instance_id);
            engines.insert(Arc::clone(&sight.engine), Pair { older, newer });
        }
        self.engines = engines;
    }

    /// What to compare an engine with.
    pub(super) fn of(&self, sight: &Sight, now: Instant) -> Option<Earlier> {
        let pair = self.engines.get(&sight.engine)?;
        let copy = pair.older.as_ref().unwrap_or(&pair.newer);
        Some(Earlier {
            instance_id: copy.instance_id,
            snapshot: Arc::clone(&copy.snapshot),
            age: now.saturating_duration_since(copy.at),
        })
    }
}

impl Copy {
    fn of(sight: &Sight, at: Instant) -> Option<Self> {
        let snapshot = &sight.pass.as_ref()?.snapshot;
        let numbers = snapshot
            .series
            .iter()
            .filter(|series| series.value.histogram().is_none());
        Some(Self {
            at,
            instance_id: sight.view.region.as_ref()?.info.instance_id,
            snapshot: Arc::new(Snapshot {
                series: numbers.cloned().collect(),
                writers: snapshot.writers.clone(),
                unfinished: Vec::new(),
                engine: snapshot.engine.clone(),
                ..**snapshot
            }),
        })
    }
}

#[cfg(test)]
mod tests;
