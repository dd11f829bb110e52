//! Log lines as JSON, written by cold threads only.
//!
//! The hot thread has no subscriber to call: it pushes a [`HotEvent`](crate::hot::HotEvent) into a bounded queue, and the
//! housekeeping thread turns it into a line.

use std::fs::OpenOptions;
use std::io;

use tracing_subscriber::filter::EnvFilter;

use crate::config::LogConfig;

/// Starts the log of this process, on standard error or in the configured file.
///
/// # Errors
/// The file cannot be opened for appending.
pub fn start(config: &LogConfig) -> io::Result<()> {
    let filter = EnvFilter::new(format!("warn,quantumflow={0},quantumflow_feeds={0}", config.level));
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_env_filter(filter);
    // A second call in one process (tests) keeps the first log.
    let _ = match &config.file {
        Some(path) => lines
            .with_writer(OpenOptions::new().create(true).append(true).open(path)?)
            .try_init()
            .is_ok(),
        None => lines.with_writer(io::stderr).try_init().is_ok(),
    };
    Ok(())
}
