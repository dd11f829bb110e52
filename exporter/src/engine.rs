//! The collector of the engine's metrics: one pass over the newest region, as metric families.
//!
//! A region describes itself, so nothing here knows a metric of the engine's catalogue: names, labels, help, kinds and
//! units come from the file, and every one of them is checked again ([`Families`]). Three rules decide what is shown.
//!
//! - Only an engine that is up has series. One that has crashed, ended, panicked or stalled has `hft_up 0` and the
//!   reason, and its numbers are left out: Prometheus then marks them stale at once, while frozen ones would look alive
//!   for ever. The exporter's own metrics, and the answer 200, stay.
//! - What is not known is left out, rather than shown as NaN or zero: a gauge that was never set, a time that has not
//!   come, a gauge whose source is gone.
//! - Values are in base units, and counts of histograms are sums of their buckets, so that the two never disagree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, MetricFamily};
use quantumflow_region::{HistogramSnapshot, Kind, Series, SeriesMeta, Snapshot, Value};

use crate::family::{Families, Refusal, Type};
use crate::ladder;
use crate::process::{EngineProcess, Process};
use crate::source::{Condition, Host, Pass, Region, Source, View};

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Revision of this program's sources, where the build was told by `QUANTUMFLOW_REVISION`.
pub const REVISION: &str = match option_env!("QUANTUMFLOW_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Collects the engine's metrics, and the exporter's own about the engine. One per registry.
pub struct EngineCollector {
    source: Arc<Source>,
    process: Process,
    up: Desc,
}

impl EngineCollector {
    /// Reads from `source`.
    pub fn new(source: Arc<Source>) -> Self {
        let up = Desc::new("hft_up".into(), UP_HELP.into(), Vec::new(), Default::default());
        Self {
            source,
            process: Process::current(),
            up: up.expect("a constant name and help"),
        }
    }

    fn families(&self) -> Families {
        let host = self.source.scrape();
        let began = Instant::now();
        let mut families = Families::default();
        about_the_host(&mut families, &host);
        for sight in &host.engines {
            let mut one = OneEngine {
                families: &mut families,
                engine: &sight.engine,
            };
            one.about_the_view(&sight.view);
            if let Some((pass, region)) = sight.pass.as_ref().zip(sight.view.region.as_deref()) {
                one.about_the_region(&sight.view, region, pass);
                one.about_the_process(region, &pass.snapshot, &self.process, &self.source.boot_id());
                one.series(&pass.snapshot);
            }
        }
        let passes = host.engines.iter().filter_map(|sight| sight.pass.as_ref());
        let took = began.elapsed() + passes.map(|pass| pass.took).sum::<Duration>();
        families.add(
            "hft_scrape_duration_seconds",
            Type::Gauge,
            DURATION_HELP,
            &[],
            took.as_secs_f64(),
        );
        families
    }
}

impl Collector for EngineCollector {
    fn desc(&self) -> Vec<&Desc> {
        // The registry tells collectors apart by their descriptors. The region's are not known here; what it holds is
        // checked by `Families`.
        vec![&self.up]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families().finish()
    }
}

const UP_HELP: &str = "Whether the engine is at work and its metrics are shown, 1 or 0.";
const STATE_HELP: &str = "How the engine is: live, draining, stalled, panicked, crashed, closed, unreadable or absent.";
const REFUSED_HELP: &str = "Series of the region that are left out because they would spoil the scrape, by reason.";
const DURATION_HELP: &str = "Time that this scrape took to copy the region and to build its metrics.";

/// The label that every series about an engine has, however many engines there are: a second one changes nothing for
/// the queries on the first.
pub const ENGINE: &str = "engine";

/// Names that the exporter gives out itself; a region that claims one is not believed.
const OWN_NAMES: [&str; 25] = [
    "hft_engine_build_info",
    "hft_engine_state",
    "hft_engines",
    "hft_exporter_build_info",
    "hft_heartbeat_timestamp_seconds",
    "hft_process_cpu_seconds_total",
    "hft_process_open_fds",
    "hft_process_resident_memory_bytes",
    "hft_process_start_time_seconds",
    "hft_process_threads",
    "hft_process_virtual_memory_bytes",
    "hft_region_clipped_values_total",
    "hft_region_files",
    "hft_region_files_left_out",
    "hft_region_info",
    "hft_region_registrations_dropped_total",
    "hft_region_series_refused",
    "hft_region_unknown_entries",
    "hft_scrape_duration_seconds",
    "hft_scrape_uncertainty_records",
    "hft_scrape_window_seconds",
    "hft_up",
    "hft_writer_context_switches_total",
    "hft_writer_idle",
    "hft_writer_stalled",
];
/// Those of them that an engine may well write, and that the header or the live page answers better: no reason to
/// complain.
const ANSWERED_BY_HEADER: [&str; 2] = ["hft_engine_build_info", "hft_heartbeat_timestamp_seconds"];

fn about_the_host(families: &mut Families, host: &Host) {
    let labels = [("version", VERSION), ("revision", REVISION)];
    let help = "Version and revision of the exporter.";
    families.add("hft_exporter_build_info", Type::Gauge, help, &labels, 1.0);
    let help = "Regions in the directory that are not retired.";
    families.add("hft_region_files", Type::Gauge, help, &[], host.region_count as f64);
    let help = "Regions that are not looked at because there are too many; the oldest ones.";
    let left_out = host.left_out_count as f64;
    families.add("hft_region_files_left_out", Type::Gauge, help, &[], left_out);
    for condition in Condition::OF_REGIONS {
        let count = host
            .engines
            .iter()
            .filter(|sight| sight.view.condition == condition)
            .count();
        let labels = [("condition", condition.name())];
        let help = "Engines on this host by how they are; all zero where there is none.";
        families.add("hft_engines", Type::Gauge, help, &labels, count as f64);
    }
    if host.engines.is_empty() {
        // Without an engine there is no name for the label, and still the one alert on `hft_up == 0` must fire.
        families.add("hft_up", Type::Gauge, UP_HELP, &[], 0.0);
        let labels = [
            ("state", Condition::Absent.name()),
            ("reason", host.reason.as_deref().unwrap_or_default()),
        ];
        families.add("hft_engine_state", Type::Gauge, STATE_HELP, &labels, 1.0);
    }
}

/// The families, seen from one engine: every series gets its label.
struct OneEngine<'a> {
    families: &'a mut Families,
    engine: &'a str,
}

impl OneEngine<'_> {
    fn add(&mut self, name: &str, kind: Type, help: &str, labels: &[(&str, &str)], value: f64) {
        let taken = self.try_add(name, kind, help, labels, value);
        debug_assert_eq!(taken, Ok(()), "{name}");
    }

    fn try_add(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> Result<(), Refusal> {
        let labels: Vec<(&str, &str)> = [(ENGINE, self.engine)]
            .into_iter()
            .chain(labels.iter().copied())
            .collect();
        self.families.try_add(name, kind, help, &labels, value)
    }

    fn about_the_view(&mut self, view: &View) {
        let up = f64::from(u8::from(view.condition.is_up()));
        self.add("hft_up", Type::Gauge, UP_HELP, &[], up);
        let labels = [
            ("state", view.condition.name()),
            ("reason", view.reason.as_deref().unwrap_or_default()),
        ];
        self.add("hft_engine_state", Type::Gauge, STATE_HELP, &labels, 1.0);
    }

    fn about_the_region(&mut self, view: &View, region: &Region, pass: &Pass) {
        let (info, snapshot) = (&region.info, &pass.snapshot);
        let engine = &snapshot.engine;
        let gauge = Type::Gauge;
        let labels = [("version", info.version.as_str()), ("revision", info.revision.as_str())];
        let help = "Version and revision of the engine.";
        self.add("hft_engine_build_info", gauge, help, &labels, 1.0);
        let format = format!("{}.{}", info.format.0, info.format.1);
        let schema = format!("{:016x}", info.schema_hash);
        let labels = [
            ("service", info.service.as_str()),
            ("file", &region.file),
            ("format", &format),
            ("schema", &schema),
        ];
        let help = "The region that is shown, its format and its schema.";
        self.add("hft_region_info", gauge, help, &labels, 1.0);
        let help = "Start time of the engine since the Unix epoch in seconds.";
        self.add(
            "hft_process_start_time_seconds",
            gauge,
            help,
            &[],
            seconds(info.start_unix_ns),
        );
        if engine.heartbeat_unix_ns > 0 {
            let (help, beat) = (
                "When the engine's housekeeping last reported.",
                seconds(engine.heartbeat_unix_ns),
            );
            self.add("hft_heartbeat_timestamp_seconds", gauge, help, &[], beat);
        }
        let help = "Series and threads of the engine that found no room in the region.";
        let dropped = engine.registrations_dropped as f64;
        self.add(
            "hft_region_registrations_dropped_total",
            Type::Counter,
            help,
            &[],
            dropped,
        );
        let help = "Parts of the region that this exporter is too old to know.";
        let unknown = [
            ("series", snapshot.unknown_series_count),
            ("section", snapshot.unknown_section_count),
        ];
        for (entry, count) in unknown {
            self.add(
                "hft_region_unknown_entries",
                gauge,
                help,
                &[("entry", entry)],
                f64::from(count),
            );
        }
        let help = "Records that may be half in this scrape of a histogram, for the histogram with the most.";
        let uncertainty = snapshot.uncertainty_max() as f64;
        self.add("hft_scrape_uncertainty_records", gauge, help, &[], uncertainty);
        let help = "Time that it took to copy the region: its values may be that far apart.";
        self.add("hft_scrape_window_seconds", gauge, help, &[], pass.took.as_secs_f64());
        for writer in &snapshot.writers {
            let is = |names: &[Arc<str>]| f64::from(u8::from(names.contains(&writer.name)));
            let labels = [("writer", &*writer.name)];
            // Two threads of one name would be one series; the first is shown, as for every duplicate.
            let help = "Whether the thread hangs inside a round of its loop, 1 or 0.";
            let _ = self.try_add("hft_writer_stalled", gauge, help, &labels, is(&view.stuck));
            let help = "Whether the thread has rested between two rounds of its loop for seconds, 1 or 0.";
            let _ = self.try_add("hft_writer_idle", gauge, help, &labels, is(&view.idle));
        }
    }

    fn about_the_process(&mut self, region: &Region, snapshot: &Snapshot, process: &Process, boot_id: &[u8; 16]) {
        let Some(engine) = EngineProcess::of(&region.info, boot_id) else {
            return;
        };
        process.collect_engine(&engine, self.engine, self.families);
        for writer in &snapshot.writers {
            for (kind, count) in engine.context_switches(writer.tid) {
                let help = "Times that the thread left its core, of its own will or not.";
                let labels = [("writer", &*writer.name), ("kind", kind)];
                let _ = self.try_add("hft_writer_context_switches_total", Type::Counter, help, &labels, count);
            }
        }
    }

    /// Adds the region's own series, and how many of them were refused.
    fn series(&mut self, snapshot: &Snapshot) {
        let mut refused: BTreeMap<Refusal, u64> = Refusal::ALL.map(|refusal| (refusal, 0)).into();
        let mut clipped: BTreeMap<&str, u64> = BTreeMap::new();
        for series in &snapshot.series {
            match self.one(series) {
                Ok(()) => {
                    if let Some(histogram) = series.value.histogram() {
                        *clipped.entry(&*series.meta.name).or_default() += histogram.clipped();
                    }
                }
                Err(refusal) => *refused.entry(refusal).or_default() += 1,
            }
        }
        for (name, count) in clipped {
            let help = "Values above a histogram's range, which count as its end.";
            let labels = [("metric", name)];
            self.add(
                "hft_region_clipped_values_total",
                Type::Counter,
                help,
                &labels,
                count as f64,
            );
        }
        for (refusal, count) in refused {
            let labels = [("reason", refusal.name())];
            self.add(
                "hft_region_series_refused",
                Type::Gauge,
                REFUSED_HELP,
                &labels,
                count as f64,
            );
        }
    }

    fn one(&mut self, series: &Series) -> Result<(), Refusal> {
        let meta = &*series.meta;
        let name = &*meta.name;
        if ANSWERED_BY_HEADER.contains(&name) {
            return Ok(());
        }
        if OWN_NAMES.contains(&name) || name.starts_with("process_") {
            return Err(Refusal::NameTaken);
        }
        let labels = meta.labels.iter().map(|(name, value)| {
            // As Prometheus does with a label that collides with one of its own.
            let name: &str = if &**name == ENGINE { "exported_engine" } else { name };
            (name, &**value)
        });
        let labels: Vec<(&str, &str)> = [(ENGINE, self.engine)].into_iter().chain(labels).collect();
        let (kind, value) = match &series.value {
            Value::Histogram(histogram) => {
                return self
                    .families
                    .try_add_histogram(name, &meta.help, &labels, classic(meta, histogram));
            }
            Value::Counter(total) => (Type::Counter, meta.to_base(*total as f64)),
            // From here on gauges: those whose source is gone, and those that are not known, have nothing to show.
            _ if series.retired => return Ok(()),
            Value::Timestamp(0) => return Ok(()),
            Value::GaugeF64(value) if value.is_nan() => return Ok(()),
            Value::Timestamp(unix_ns) if meta.scale == -9 => (Type::Gauge, seconds(*unix_ns)),
            value => (Type::Gauge, meta.to_base(value.as_f64().unwrap_or(1.0))),
        };
        self.families.try_add(name, kind, &help_of(meta), &labels, value)
    }
}

/// The help, for a state with what its numbers mean.
fn help_of(meta: &SeriesMeta) -> String {
    if meta.kind != Kind::State || meta.states.is_empty() {
        return meta.help.to_string();
    }
    let states: Vec<String> = meta
        .states
        .iter()
        .enumerate()
        .map(|(i, state)| format!("{i} {state}"))
        .collect();
    format!("{} ({})", meta.help, states.join(", "))
}

/// A histogram as Prometheus' classic one, in the base unit.
fn classic(meta: &SeriesMeta, histogram: &HistogramSnapshot) -> Histogram {
    let edges = ladder::edges(histogram.shape(), meta.unit, meta.scale);
    let (cumulative, count) = ladder::cumulate(histogram.shape(), histogram.counts(), &edges);
    let buckets = edges.iter().zip(cumulative).map(|(&edge, at_most)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(meta.to_base(edge as f64));
        bucket.set_cumulative_count(at_most);
        bucket
    });
    let mut classic = Histogram::default();
    classic.set_bucket(buckets.collect());
    classic.set_sample_count(count);
    classic.set_sample_sum(meta.to_base(histogram.sum() as f64));
    classic
}

fn seconds(unix_ns: u64) -> f64 {
    // In two parts: as one double, nanoseconds since 1970 would be rounded to 256 of them first.
    (unix_ns / 1_000_000_000) as f64 + (unix_ns % 1_000_000_000) as f64 / 1e9
}

#[cfg(test)]
mod tests;
