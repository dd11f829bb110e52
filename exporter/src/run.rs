//! The command from its options to its end.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::activation::{self, ActivationError};
use crate::app::App;
use crate::cli::{self, ListenError, Options};
use crate::http::Handler;
use crate::http::connection::Patience;
use crate::http::server::{Limits, Server};
use crate::http::tls::TlsSource;
use crate::sandbox::{self, SandboxError};
use crate::source::Source;
use crate::web::guard::Guard;
use crate::web::live::LiveSettings;
use crate::web::settings::{Settings, WebError};

/// Why the exporter could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address could not be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The sockets of systemd could not be taken over.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The web configuration cannot be used.
    #[error("--web.config.file")]
    Web(#[source] WebError),
    /// The sandbox could not be entered.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
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
    let live = options.web_config.as_deref().map(|path| LiveSettings::open(path, warn));
    let live = live.transpose().map_err(RunError::Web)?.map(Arc::new);
    let mut end = end_signal().map_err(system("wait for signals"))?;
    let listeners = if options.systemd_socket {
        activation::listeners()?
    } else {
        let addresses = options.listen.iter();
        addresses
            .map(|address| cli::listen(address))
            .collect::<Result<_, _>>()?
    };
    // Everything that needs more than serving does has been done, and no byte from outside has been read.
    if !options.no_sandbox {
        sandbox::enter()?;
    }
    let app = Arc::new(app);
    let mut handler: Arc<dyn Handler> = Arc::clone(&app) as _;
    if let Some(live) = &live {
        handler = Arc::new(Guard::new(Arc::clone(live), handler).map_err(RunError::Web)?);
    }
    let settings = live.as_ref().map(|live| live.current());
    let limits = Limits {
        connections: options.max_connections,
        streams: options.max_streams,
        patience: Patience::default(),
    };
    let tls = live.as_ref().and_then(tls_source);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let server = Server::start(listeners, handler, limits, tls).map_err(system("start serving"))?;
    let watch = move || loop {
        app.watch();
        if let Some(live) = &live {
            // A file that was broken is reported now, and not only when somebody asks.
            live.current();
        }
        thread::sleep(WATCH_INTERVAL);
    };
    thread::Builder::new()
        .name("watch".into())
        .spawn(watch)
        .map_err(system("start the watching thread"))?;
    for address in server.addresses() {
        print(&format!("metrics at {scheme}://{address}{}\n", options.telemetry_path))?;
        if let Some(missing) = exposed(address, settings.as_deref()) {
            warn(&format!("{address} can be reached from other hosts, without {missing}"));
        }
    }
    if nix::unistd::geteuid().is_root() {
        warn("running as root, which is not needed: any user who may read the regions will do");
    }
    // Blocks until a signal's handler writes its byte.
    while matches!(end.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
    server.stop(GRACE);
    Ok(())
}

/// TLS settings of each new connection, if the port speaks TLS at all: that does not change while it is open.
fn tls_source(live: &Arc<LiveSettings>) -> Option<Arc<TlsSource>> {
    let first = live.current().tls.clone()?;
    let live = Arc::clone(live);
    Some(Arc::new(move || {
        live.current().tls.clone().unwrap_or_else(|| Arc::clone(&first))
    }))
}

/// What keeps strangers from reading at this address, and is missing.
fn exposed(address: &SocketAddr, settings: Option<&Settings>) -> Option<&'static str> {
    let tls = settings.is_some_and(|settings| settings.tls.is_some());
    let password = settings.is_some_and(|settings| !settings.users.is_empty() || settings.asks_for_certificates());
    match (address.ip().is_loopback(), tls, password) {
        (true, ..) | (_, true, true) => None,
        (_, true, false) => Some("password"),
        (_, false, true) => Some("TLS"),
        (_, false, false) => Some("TLS or password"),
    }
}

fn warn(text: &str) {
    eprintln!("quantumflow-exporter: {text}");
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
