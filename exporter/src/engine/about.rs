//! What the exporter says of an engine in its own words, from the region's header, its live page and `/proc`.

use std::sync::Arc;

use quantumflow_region::Snapshot;

use super::OneEngine;
use super::series::seconds;
use crate::family::Type;
use crate::process::{EngineProcess, Process};
use crate::source::{Pass, Region, View};

impl OneEngine<'_, '_> {
    pub(super) fn about_the_region(&mut self, view: &View, region: &Region, pass: &Pass) {
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
        let _ = self.try_add(
            "hft_region_registrations_dropped_total",
            Type::Counter,
            help,
            &[],
            dropped,
            info.start_unix_ns,
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
            let _ = self.try_add("hft_writer_stalled", gauge, help, &labels, is(&view.stuck), 0);
            let help = "Whether the thread has rested between two rounds of its loop for seconds, 1 or 0.";
            let _ = self.try_add("hft_writer_idle", gauge, help, &labels, is(&view.idle), 0);
        }
    }

    pub(super) fn about_the_process(
        &mut self,
        region: &Region,
        snapshot: &Snapshot,
        process: &Process,
        boot_id: &[u8; 16],
    ) {
        let Some(engine) = EngineProcess::of(&region.info, boot_id) else {
            return;
        };
        if self.scrape.selection.wants("hft_process_") {
            process.collect_engine(
                &engine,
                &self.engine,
                region.info.start_unix_ns,
                &mut self.scrape.families,
            );
        }
        for writer in &snapshot.writers {
            for (kind, count) in engine.context_switches(writer.tid) {
                let help = "Times that the thread left its core, of its own will or not.";
                let labels = [("writer", &*writer.name), ("kind", kind)];
                let since = region.info.start_unix_ns;
                let _ = self.try_add(
                    "hft_writer_context_switches_total",
                    Type::Counter,
                    help,
                    &labels,
                    count,
                    since,
                );
            }
        }
    }
}
