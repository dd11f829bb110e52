//! `quantumflow run`: the engine.

use std::io::Write;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quantumflow_feeds::UnixNanos;
use quantumflow_region::{CreateError, CreateReport, RegionOptions, RegionWriter, RingOptions, SignalWriter};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Failure, Outcome};
use crate::cold::{Reload, log_loaded};
use crate::config::{self, Config};
use crate::hot::{GENERATIONS_MAX, Output, RingOutput};
use crate::model::ModelSet;
use crate::wiring::{self, Predicting, Running};
use crate::{REVISION, log, os};

/// Run the engine: sockets to signals, until Ctrl-C or SIGTERM.
///
/// SIGHUP makes it read the [model] section of the configuration, and the model files, again: new models take over without
/// a pause, and what cannot be used changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow run engine.toml
  kill -HUP $(pgrep -x quantumflow)    # other models, without a restart")]
pub(super) struct Args {
    /// The configuration (see `quantumflow check --print-default`)
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = config::load(&args.config).map_err(Failure::input)?;
    log::start(&config.log).map_err(|error| Failure::input(format!("cannot open the log: {error}")))?;
    let models = ModelSet::load(&config.model).map_err(Failure::input)?;
    let process = Process::start(&config)?;
    let ring = process.open_ring(&config)?;
    let output = RingOutput::new(ring, &wiring::symbols_of(&config));
    log_loaded(&models);
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&asked))?;
    let reload = Reload {
        asked,
        config: args.config.clone(),
    };
    let predicting = Predicting {
        models,
        reload: Some(reload),
    };
    process.work(&config, Some(predicting), output)
}

/// What a process that runs a shard has: its region, its panic hook, and the flag that ends it.
pub(super) struct Process {
    region: RegionWriter,
    start: UnixNanos,
    stop: Arc<AtomicBool>,
}

impl Process {
    /// Makes the region, locks memory, and arranges for signals and panics.
    pub(super) fn start(config: &Config) -> Result<Self, Failure> {
        let start = os::wall_clock();
        let mut options = RegionOptions::new(&config.engine.name, start.0);
        options.bytes = usize::try_from(config.region.bytes).map_err(Failure::input)?;
        wiring::make_room(&mut options, &wiring::symbols_of(config));
        options.file.keep_dead = config.region.keep_dead;
        options.version = env!("CARGO_PKG_VERSION").to_owned();
        options.revision = REVISION.to_owned();
        let region = or_private(
            "metrics region",
            RegionWriter::create(&config.region.dir, &options),
            || RegionWriter::private(&options),
        )?;
        note("metrics region", region.report());
        if config.engine.lock_memory
            && let Err(error) = os::lock_memory()
        {
            tracing::warn!(%error, "memory is not locked: raise the limit of locked memory, or set engine.lock_memory = false");
        }
        record_panics(&region);
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self { region, start, stop })
    }

    fn open_ring(&self, config: &Config) -> Result<SignalWriter, Failure> {
        let mut options = RingOptions::new(&config.engine.name, self.start.0);
        options.slot_count = config.region.ring_slots;
        options.max_models = GENERATIONS_MAX as u32;
        options.file.keep_dead = config.region.keep_dead;
        let ring = or_private(
            "signal ring",
            SignalWriter::create(&config.region.dir, &options),
            || SignalWriter::private(&options),
        )?;
        note("signal ring", ring.report());
        Ok(ring)
    }

    /// Launches the threads and waits for the end.
    pub(super) fn work<O: Output + Send + 'static>(
        self,
        config: &Config,
        predicting: Option<Predicting>,
        output: O,
    ) -> Outcome {
        let running = wiring::launch(config, &self.region, predicting, output, &self.stop).map_err(Failure::input)?;
        // For whoever started us; the log has the rest. A closed standard output is no reason to stop.
        let place = self
            .region
            .path()
            .map_or("private memory".into(), Path::to_string_lossy);
        let _ = writeln!(std::io::stdout(), "running, metrics region {place}");
        self.wait(&running);
        self.region.live().set_draining();
        tracing::info!("stopping");
        let ended = running
            .join()
            .map_err(|_| Failure::running("a thread of the engine panicked: see the log"))?;
        drop(ended);
        self.region.live().set_closed(0);
        tracing::info!("stopped");
        Ok(())
    }

    fn wait<O>(&self, running: &Running<O>) {
        while !self.stop.load(Ordering::Relaxed) && !running.is_finished() {
            thread::sleep(Duration::from_millis(20));
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The shared file, or the same in private memory: metrics that nobody sees are no reason not to trade. A directory
/// that others could tamper with, or sizes that make no sense, are.
fn or_private<T>(
    what: &str,
    created: Result<T, CreateError>,
    private: impl FnOnce() -> Result<T, CreateError>,
) -> Result<T, Failure> {
    match created {
        Err(error @ (CreateError::Io { .. } | CreateError::SlowFilesystem { .. })) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the {what} cannot be shared: nobody will see it");
            private().map_err(Failure::input)
        }
        done => done.map_err(Failure::input),
    }
}

fn note(what: &str, report: &CreateReport) {
    let path = report.path.as_deref().map(Path::display).map(tracing::field::display);
    tracing::info!(path, retired = report.retired_count, "{what} ready");
    if let Some(reason) = &report.not_locked {
        tracing::warn!(reason, "the pages of the {what} are not locked");
    }
    if let Some(error) = &report.retire_error {
        tracing::warn!(error, "files of dead engines could not be put away");
    }
}

/// The first words of a panic go into the region, where `quantumflow region` finds them whatever became of the log.
fn record_panics(region: &RegionWriter) {
    let live = region.live();
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        live.record_panic(panic);
        previous(panic);
    }));
}
