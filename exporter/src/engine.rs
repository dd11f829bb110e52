//! The collector of the engines' metrics: one pass over the regions, as metric families.
//!
//! A region describes itself, so nothing here knows a metric of the engine's catalogue: names, labels, help, kinds and
//! units come from the file, and every one of them is checked again ([`Families`]). Four rules decide what is shown.
//!
//! - Every series about an engine has the label `engine`, also where there is one engine: a second one changes nothing
//!   for the queries on the first.
//! - Only an engine that is up has series. One that has crashed, ended, panicked or stalled has `hft_up 0` and the
//!   reason, and its numbers are left out: Prometheus then marks them stale at once, while frozen ones would look alive
//!   for ever. Where there is no engine at all, `hft_up 0` stands without the label. The exporter's own metrics, and the
//!   answer 200, stay.
//! - What is not known is left out, rather than shown as NaN or zero: a gauge that was never set, a time that has not
//!   come, a gauge whose source is gone.
//! - Values are in base units, and counts of histograms are sums of their buckets, so that the two never disagree.

mod about;
mod known;
mod series;

use std::sync::Arc;
use std::time::{Duration, Instant};

use known::Memory;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::exposition::text;
use crate::family::{Families, Refusal, Type, Value, labels};
use crate::process::Process;
use crate::select::Selection;
use crate::source::{Condition, Host, Sight, Source, View};

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Revision of this program's sources, where the build was told by `QUANTUMFLOW_REVISION`.
pub const REVISION: &str = match option_env!("QUANTUMFLOW_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
/// The label of every series about an engine.
pub const ENGINE: &str = "engine";

/// What scrapes are made from, shared by all of them.
pub struct Engines {
    source: Arc<Source>,
    process: Process,
    /// Whether the metrics of the exporter's own process are shown.
    own_process: bool,
    memory: Memory,
}

impl Engines {
    /// Reads from `source`; with the metrics of the exporter's own process if `own_process`.
    pub fn new(source: Arc<Source>, own_process: bool) -> Self {
        Self {
            source,
            process: Process::current(),
            own_process,
            memory: Memory::default(),
        }
    }

    /// One pass over the regions. The buckets of native histograms are made where `native` asks for them.
    pub fn families(&self, selection: &Selection, native: bool) -> Families {
        let host = self.source.scrape();
        let began = Instant::now();
        let mut scrape = Scrape {
            families: Families::default(),
            selection,
            memory: &self.memory,
            layouts: series::Layouts::new(native),
        };
        scrape.about_the_host(&host);
        let asked_for = |sight: &&Sight| selection.wants_engine(&sight.engine);
        for sight in host.engines.iter().filter(asked_for) {
            scrape.about_the_view(Some(&sight.engine), &sight.view);
            if let Some((pass, region)) = sight.pass.as_ref().zip(sight.view.region.as_deref()) {
                let mut one = OneEngine {
                    scrape: &mut scrape,
                    engine: Arc::clone(&sight.engine),
                };
                one.about_the_region(&sight.view, region, pass);
                one.about_the_process(region, &pass.snapshot, &self.process, &self.source.boot_id());
                one.add_series(region, &pass.snapshot);
            }
        }
        self.memory.forget_others(&host);
        if self.own_process && selection.wants("process_") {
            self.process.collect(&mut scrape.families);
        }
        let passes = host.engines.iter().filter_map(|sight| sight.pass.as_ref());
        let took = began.elapsed() + passes.map(|pass| pass.took).sum::<Duration>();
        let help =
            "Time that this scrape took to copy the regions and to build the metrics, without waiting for its turn.";
        scrape.add(
            "hft_scrape_duration_seconds",
            Type::Gauge,
            help,
            &[],
            took.as_secs_f64(),
        );
        scrape.families
    }
}

/// Collects what one scrape asks for. One per registry.
pub struct EngineCollector {
    engines: Arc<Engines>,
    selection: Selection,
    up: Desc,
}

impl EngineCollector {
    /// Shows what `selection` asks for.
    pub fn new(engines: Arc<Engines>, selection: Selection) -> Self {
        let up = Desc::new("hft_up".into(), UP_HELP.into(), Vec::new(), Default::default());
        Self {
            engines,
            selection,
            up: up.expect("a constant name and help"),
        }
    }
}

impl Collector for EngineCollector {
    fn desc(&self) -> Vec<&Desc> {
        // The registry tells collectors apart by their descriptors. The regions' are not known here; what they hold is
        // checked by `Families`.
        vec![&self.up]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        text::to_proto(&self.engines.families(&self.selection, false))
    }
}

const UP_HELP: &str =
    "Whether the engine is at work (or, of a job, has ended in order) and its metrics are shown, 1 or 0.";
const STATE_HELP: &str =
    "How the engine is: live, draining, stalled, panicked, crashed, closed, done, unreadable or absent.";

/// Names that the exporter gives out itself; a region that claims one is not believed.
const OWN_NAMES: [&str; 26] = [
    "hft_engine_build_info",
    "hft_engine_state",
    "hft_engines",
    "hft_exporter_build_info",
    "hft_heartbeat_timestamp_seconds",
    "hft_process_cpu_seconds_total",
    "hft_process_major_page_faults_total",
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

/// One scrape under construction.
struct Scrape<'a> {
    families: Families,
    selection: &'a Selection,
    memory: &'a Memory,
    layouts: series::Layouts,
}

impl Scrape<'_> {
    /// Adds a series of the exporter's own.
    fn add(&mut self, name: &str, kind: Type, help: &str, pairs: &[(&str, &str)], value: f64) {
        if self.selection.wants(name) {
            self.families.add(name, kind, help, pairs, value);
        }
    }

    fn about_the_host(&mut self, host: &Host) {
        let labels = [("version", VERSION), ("revision", REVISION)];
        let help = "Version and revision of the exporter.";
        self.add("hft_exporter_build_info", Type::Gauge, help, &labels, 1.0);
        let help = "Regions in the directory that are not retired.";
        let regions = host.region_count as f64;
        self.add("hft_region_files", Type::Gauge, help, &[], regions);
        let help = "Regions that are not looked at because there are too many; the oldest ones.";
        let left_out = host.left_out_count as f64;
        self.add("hft_region_files_left_out", Type::Gauge, help, &[], left_out);
        for condition in Condition::OF_REGIONS {
            let engines = host.engines.iter();
            let count = engines.filter(|sight| sight.view.condition == condition).count() as f64;
            let labels = [("condition", condition.name())];
            let help = "Engines on this host by how they are; all zero where there is none.";
            self.add("hft_engines", Type::Gauge, help, &labels, count);
        }
        let is_job = |sight: &Sight| sight.view.region.as_ref().is_some_and(|region| region.info.is_job);
        if host.engines.iter().all(is_job) {
            // No engine has no name for the label, and still an alert on `hft_up == 0` must fire.
            self.about_the_view(None, &View::absent(host.reason.clone()));
        }
        for engine in self.selection.engines().filter(|name| host.engine(name).is_none()) {
            let reason = Some("it was asked for, and no region is of this name".to_owned());
            self.about_the_view(Some(engine), &View::absent(reason));
        }
    }

    fn about_the_view(&mut self, engine: Option<&str>, view: &View) {
        let up = f64::from(u8::from(view.condition.is_up()));
        // An empty label is none.
        let engine = (ENGINE, engine.unwrap_or_default());
        self.add("hft_up", Type::Gauge, UP_HELP, &[engine], up);
        let labels = [
            engine,
            ("state", view.condition.name()),
            ("reason", view.reason.as_deref().unwrap_or_default()),
        ];
        self.add("hft_engine_state", Type::Gauge, STATE_HELP, &labels, 1.0);
    }
}

/// A scrape seen from one engine: every series gets its label.
struct OneEngine<'a, 'b> {
    scrape: &'a mut Scrape<'b>,
    engine: Arc<str>,
}

impl OneEngine<'_, '_> {
    fn add(&mut self, name: &str, kind: Type, help: &str, pairs: &[(&str, &str)], value: f64) {
        let taken = self.try_add(name, kind, help, pairs, value, 0);
        debug_assert_eq!(taken, Ok(()), "{name}");
    }

    fn try_add(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        pairs: &[(&str, &str)],
        value: f64,
        created_unix_ns: u64,
    ) -> Result<(), Refusal> {
        if !self.scrape.selection.wants(name) {
            return Ok(());
        }
        let mut labels = labels(pairs);
        labels.push((ENGINE.into(), Arc::clone(&self.engine)));
        let value = Value::Number(value);
        self.scrape
            .families
            .try_add(name, kind, help, labels, value, created_unix_ns)
    }
}

#[cfg(test)]
mod tests;
