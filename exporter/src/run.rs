//! The command from its options to its end.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::app::App;
use crate::cli::{self, ListenError, Options};
use crate::http::connection::Patience;
use crate::http::server::{Limits, Server};
use crate::source::Source;

/// Why the exporter could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address could not be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A call to the operating system failed.
    #[error("failed to {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The metrics could not be encoded.
    #[error("failed to encode the metrics")]
    Encode(#[source] prometheus::Error),
}

/// Serves until SIGINT or SIGTERM; or prints one exposition, with `--once`.
///
/// # Errors
/// What kept it from starting, or from printing.
pub fn run(options: &Options) -> Result<(), RunError> {
    let source = Arc::new(Source::new(&options.region_dir));
    let process_metrics = !options.disable_exporter_metrics;
    let app = App::new(source, &options.telemetry_path, options.max_requests, process_metrics);
    if options.once {
        let text = app.exposition().map_err(RunError::Encode)?;
        return print(&text);
    }
    let mut end = end_signal().map_err(system("wait for signals"))?;
    let listeners = options
        .listen
        .iter()
        .map(|address| cli::listen(address))
        .collect::<Result<Vec<_>, _>>()?;
    let limits = Limits {
        connections: options.max_connections,
        streams: options.max_streams,
        patience: Patience::default(),
    };
    let app = Arc::new(app);
    let watched = Arc::clone(&app);
    let server = Server::start(listeners, app, limits, None).map_err(system("start serving"))?;
    let watch = move || loop {
        watched.watch();
        thread::sleep(WATCH_INTERVAL);
    };
    thread::Builder::new()
        .name("watch".into())
        .spawn(watch)
        .map_err(system("start the watching thread"))?;
    for address in server.addresses() {
        print(&format!("metrics at http://{address}{}\n", options.telemetry_path))?;
        if !address.ip().is_loopback() {
            eprintln!("quantumflow-exporter: {address} can be reached from other hosts, without TLS or password");
        }
    }
    // Blocks until a signal's handler writes its byte.
    while matches!(end.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
    server.stop(GRACE);
    Ok(())
}

/// How often the engine is looked at between scrapes.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long answers that are on their way may take when the process ends.
const GRACE: Duration = Duration::from_secs(2);

fn end_signal() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        // The first one asks, the second insists: handlers run in the order of their registration.
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, asked)?;
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn print(text: &str) -> Result<(), RunError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(system("write to standard output")),
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::System { what, source }
}
