//! The series that an engine wrote, from raw values to base units.

use std::collections::BTreeMap;
use std::sync::Arc;

use quantumflow_region::{HistogramSnapshot, Kind, Series, SeriesMeta, Shape, Snapshot, Unit, Value as Raw};

use super::OneEngine;
use crate::family::{Distribution, Labels, Refusal, Type, Value};
use crate::ladder;
use crate::native::Table;
use crate::source::Region;

impl OneEngine<'_, '_> {
    /// Adds the region's own series, and how many of them were refused.
    pub(super) fn add_series(&mut self, region: &Region, snapshot: &Snapshot) {
        let mut refused: BTreeMap<Refusal, u64> = Refusal::ALL.map(|refusal| (refusal, 0)).into();
        let mut clipped: BTreeMap<&str, u64> = BTreeMap::new();
        let start_unix_ns = region.info.start_unix_ns;
        let known = self.scrape.memory.take(&self.engine, snapshot);
        for (series, labels) in snapshot.series.iter().zip(known.labels()) {
            let labels = match labels {
                Ok(Some(labels)) => Ok(labels),
                Ok(None) => continue,
                Err(refusal) => Err(*refusal),
            };
            let is_wanted = self.scrape.selection.wants(&series.meta.name);
            let add = |labels| {
                if is_wanted {
                    self.add_one(series, labels, start_unix_ns)
                } else {
                    Ok(())
                }
            };
            match labels.and_then(add) {
                Ok(()) => {
                    if let Some(histogram) = series.value.histogram() {
                        *clipped.entry(&*series.meta.name).or_default() += histogram.clipped();
                    }
                }
                Err(refusal) => *refused.entry(refusal).or_default() += 1,
            }
        }
        self.scrape.memory.keep(Arc::clone(&self.engine), known);
        for (name, count) in clipped {
            let help = "Values above a histogram's range, which count as its end.";
            let (labels, since) = ([("metric", name)], start_unix_ns);
            let metric = "hft_region_clipped_values_total";
            let taken = self.try_add(metric, Type::Counter, help, &labels, count as f64, since);
            debug_assert_eq!(taken, Ok(()));
        }
        for (refusal, count) in refused {
            let help = "Series of the region that are left out because they would spoil the scrape, by reason.";
            let labels = [("reason", refusal.name())];
            self.add("hft_region_series_refused", Type::Gauge, help, &labels, count as f64);
        }
    }

    fn add_one(&mut self, series: &Series, labels: &Arc<Labels>, start_unix_ns: u64) -> Result<(), Refusal> {
        let meta = &*series.meta;
        let name = &*meta.name;
        let (kind, value) = match &series.value {
            Raw::Histogram(histogram) => {
                let distribution = self.scrape.layouts.distribution(meta, histogram);
                (Type::Histogram, Value::Distribution(distribution))
            }
            Raw::Counter(total) => (Type::Counter, Value::Number(meta.to_base(*total as f64))),
            // From here on gauges: those whose source is gone, and those that are not known, have nothing to show.
            _ if series.retired => return Ok(()),
            Raw::Timestamp(0) => return Ok(()),
            Raw::GaugeF64(value) if value.is_nan() => return Ok(()),
            Raw::Timestamp(unix_ns) if meta.scale == -9 => (Type::Gauge, Value::Number(seconds(*unix_ns))),
            value => (Type::Gauge, Value::Number(meta.to_base(value.as_f64().unwrap_or(1.0)))),
        };
        // The time of registration comes from housekeeping's beat, which may not have begun yet.
        let created = match kind {
            Type::Gauge => 0,
            _ => meta.created_unix_ns.max(start_unix_ns),
        };
        let labels = Arc::clone(labels);
        match help_of(meta) {
            Some(help) => self.scrape.families.insert(name, kind, &help, labels, value, created),
            None => self
                .scrape
                .families
                .insert(name, kind, &meta.help, labels, value, created),
        }
    }
}

/// The help of a state, with what its numbers mean.
fn help_of(meta: &SeriesMeta) -> Option<String> {
    if meta.kind != Kind::State || meta.states.is_empty() {
        return None;
    }
    let states: Vec<String> = meta
        .states
        .iter()
        .enumerate()
        .map(|(i, state)| format!("{i} {state}"))
        .collect();
    Some(format!("{} ({})", meta.help, states.join(", ")))
}

/// The buckets that are shown of histograms of one shape, made once for all of them.
pub(super) struct Layouts {
    known: Vec<Layout>,
    native: bool,
}

struct Layout {
    of: (Shape, Unit, i8),
    /// In the raw unit.
    edges: Vec<u64>,
    /// In the base unit.
    bounds: Vec<f64>,
    table: Option<Table>,
}

impl Layouts {
    pub(super) fn new(native: bool) -> Self {
        Self {
            known: Vec::new(),
            native,
        }
    }

    fn distribution(&mut self, meta: &SeriesMeta, histogram: &HistogramSnapshot) -> Distribution {
        let layout = self.layout(meta, histogram.shape());
        let (cumulative, count) = ladder::cumulate(histogram, &layout.edges);
        Distribution {
            buckets: layout.bounds.iter().copied().zip(cumulative).collect(),
            sum: meta.to_base(histogram.sum() as f64),
            count,
            native: layout.table.as_ref().map(|table| table.convert(histogram)),
        }
    }

    fn layout(&mut self, meta: &SeriesMeta, shape: Shape) -> &Layout {
        let of = (shape, meta.unit, meta.scale);
        let place = self.known.iter().position(|layout| layout.of == of).unwrap_or_else(|| {
            let edges = ladder::edges(shape, meta.unit, meta.scale);
            self.known.push(Layout {
                of,
                bounds: edges.iter().map(|&edge| meta.to_base(edge as f64)).collect(),
                edges,
                table: self.native.then(|| Table::new(shape, meta.scale)),
            });
            self.known.len() - 1
        });
        &self.known[place]
    }
}

pub(super) fn seconds(unix_ns: u64) -> f64 {
    // In two parts: as one double, nanoseconds since 1970 would be rounded to 256 of them first.
    (unix_ns / 1_000_000_000) as f64 + (unix_ns % 1_000_000_000) as f64 / 1e9
}
