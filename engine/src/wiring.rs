//! Starts the threads of an engine and joins them. The only file that knows who runs where.
//!
//! ```text
//! hot-0         the shard: sockets to signals
//! dialler       makes connections ready (and starts a short-lived thread for each dial)
//! snapshots     fetches REST snapshots
//! checkpoints   fetches REST books to hold shown ones against, where a feed has them
//! models        loads other models when asked to, and drops those that they replaced
//! ranking       ranks the instruments by their predictions
//! housekeeping  heartbeat, log, what the cold threads counted
//! capture-N     writes what a feed received, if configured
//! ```

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::CaptureError;
use quantumflow_feeds::feed::{Feed, LinePlan};
use quantumflow_feeds::net::{
    DialOptions, Endpoint, EndpointError, Poller, RestClient, RestError, RestOptions, TcpOptions, TlsClientConfig,
    TlsConfigError, TlsRoots,
};
use quantumflow_feeds::venue::{Session, SessionConfig, SessionConfigError};
use quantumflow_feeds::ws::Limits;
use quantumflow_region::{RegionOptions, RegionWriter, RegisterError};

use crate::cold::capture::{self, CaptureThread, Counts, FeedTap};
use crate::cold::{
    Breakers, CheckpointFetcher, ColdCounts, DialTarget, Dialler, Housekeeping, LineupError, Models, Ranking, Reload,
    SnapshotFetcher, SnapshotSource,
};
use crate::config::{Config, FeedConfig};
use crate::hot::{FeedLine, FeedSlot, HotMetrics, Mailbox, MailboxSizes, Output, PredictSink, Shard, SymbolOrigin};
use crate::model::ModelSet;
use crate::os::{self, TimeBase};

/// Log events that fit between two rounds of the housekeeping thread.
const EVENTS: usize = 4096;

/// By up to this part a connection is replaced earlier than configured.
const LIFE_JITTER: f64 = 0.05;

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate file cannot be read.
    #[error("cannot read the certificates in {}", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("the certificates of feed {feed} cannot be used")]
    Tls {
        /// Which feed.
        feed: usize,
        /// Why.
        source: TlsConfigError,
    },
    /// The client for snapshots cannot be made.
    #[error("the REST client of feed {feed} cannot be made")]
    Rest {
        /// Which feed.
        feed: usize,
        /// Why.
        source: RestError,
    },
    /// A venue's session refuses its configuration.
    #[error("feed {feed} cannot be set up")]
    Session {
        /// Which feed.
        feed: usize,
        /// Why.
        source: SessionConfigError,
    },
    /// An address is not one.
    #[error("the address of feed {feed} cannot be used")]
    Endpoint {
        /// Which feed.
        feed: usize,
        /// Why.
        source: EndpointError,
    },
    /// The poller cannot be made.
    #[error("cannot make the poller")]
    Poller(#[source] io::Error),
    /// The capture cannot be opened.
    #[error("cannot open the capture of feed {feed}")]
    Capture {
        /// Which feed.
        feed: usize,
        /// Why.
        source: CaptureError,
    },
    /// The region has no room for another thread.
    #[error("the metrics region has no block for the hot thread")]
    Region(#[source] RegisterError),
    /// There is no room for so many models.
    #[error("the models cannot be taken on")]
    Models(#[source] LineupError),
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// An engine at work.
#[derive(Debug)]
pub struct Running<O> {
    hot: JoinHandle<O>,
    cold: Vec<JoinHandle<()>>,
    stop_cold: Arc<AtomicBool>,
}

impl<O> Running<O> {
    /// Waits for the end (the `stop` flag, or a hot thread that panicked), lets the cold threads finish their work and
    /// returns what took the predictions.
    pub fn join(self) -> thread::Result<O> {
        let output = self.hot.join();
        self.stop_cold.store(true, Ordering::Relaxed);
        for thread in self.cold {
            thread.join()?;
        }
        output
    }

    /// Whether the hot thread has ended.
    pub fn is_finished(&self) -> bool {
        self.hot.is_finished()
    }
}

/// What a cold thread does until the flag is set.
type Work = Box<dyn FnOnce(&AtomicBool) + Send>;

/// The instruments of a configuration, by feed and session id.
pub fn symbols_of(config: &Config) -> Vec<SymbolOrigin> {
    let of_feed = |(feed, FeedConfig { venue, symbols, .. }): (usize, &FeedConfig)| {
        let origin = |symbol: &String| SymbolOrigin {
            feed: feed as u16,
            venue: *venue,
            symbol: symbol.clone(),
        };
        symbols.iter().map(origin).collect::<Vec<_>>()
    };
    config.feeds.iter().enumerate().flat_map(of_feed).collect()
}

/// Makes a region's tables large enough for the series and events of these instruments.
pub fn make_room(region: &mut RegionOptions, symbols: &[SymbolOrigin]) {
    let feeds = symbols
        .iter()
        .map(|origin| u32::from(origin.feed) + 1)
        .max()
        .unwrap_or(0);
    let symbols = u32::try_from(symbols.len()).unwrap_or(u32::MAX);
    let series = symbols.saturating_mul(SERIES_OF_SYMBOL).saturating_add(OTHER_SERIES);
    region.max_series = region.max_series.max(series);
    region.cells_per_writer = region.cells_per_writer.max(series);
    region.max_subjects = region.max_subjects.max(symbols.saturating_add(feeds).saturating_add(1));
}

/// Series of an instrument, all series of all venues and models beside them, and some air.
const SERIES_OF_SYMBOL: u32 = 28;
const OTHER_SERIES: u32 = 1_024;

/// The models of an engine, and how it is asked for others.
#[derive(Clone, Debug)]
pub struct Predicting {
    /// What it starts with.
    pub models: ModelSet,
    /// `None` where the models stay for good.
    pub reload: Option<Reload>,
}

/// Starts everything. Without models nothing is computed beyond the books: a recorder.
///
/// The hot thread ends when `stop` is set.
pub fn launch<O: Output + Send + 'static>(
    config: &Config,
    region: &RegionWriter,
    predicting: Option<Predicting>,
    output: O,
    stop: &Arc<AtomicBool>,
) -> Result<Running<O>, StartError> {
    let symbols = symbols_of(config);
    let sizes = MailboxSizes {
        feeds: config.feeds.len(),
        symbols: symbols.len(),
        events: EVENTS,
    };
    let (mailbox, cold_side) = Mailbox::new(sizes);
    let stop_cold = Arc::new(AtomicBool::new(false));

    let mut targets = Vec::new();
    let (mut sources, mut checkpoint_sources) = (Vec::new(), Vec::new());
    let mut slots = Vec::new();
    let (mut captures, mut capture_counts) = (Vec::new(), Vec::new());
    for (index, feed) in config.feeds.iter().enumerate() {
        let plan = FeedPlan::of(index, feed, &config.session(feed))?;
        targets.push(plan.target);
        sources.push(plan.source);
        checkpoint_sources.push(plan.checkpoints);
        let mut tap = None;
        if let Some((hot_end, cold_end, counts)) = open_capture(config, index, feed)? {
            tap = Some(hot_end);
            captures.push(cold_end);
            capture_counts.push((feed.venue, counts));
        }
        slots.push(FeedSlot::new(Feed::new(plan.session, plan.lines), tap));
    }

    let thread = region.writer("hot-0").map_err(StartError::Region)?;
    let metrics = HotMetrics::register(thread, &symbols);
    let mut models = None;
    let mut lineup = None;
    if let Some(Predicting { models: set, reload }) = predicting {
        let mut keeper = Models::new(region, symbols.len());
        lineup = Some(
            keeper
                .lineup(&set, config.model.signal_threshold)
                .map_err(StartError::Models)?,
        );
        models = reload.map(|reload| (keeper, reload));
    }
    let poller = Poller::new(FeedLine::slots(config.feeds.len()), config.engine.idle).map_err(StartError::Poller)?;
    let time = TimeBase::calibrate(Duration::from_millis(50));
    let ranking = lineup.is_some().then(|| Ranking::new(region, &symbols)).transpose();
    let ranking = ranking.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn Error, "instruments are not ranked");
        None
    });
    let sink = PredictSink::new(&symbols, lineup, output, metrics, mailbox, time);
    let shard = Shard::new(slots, poller, sink);

    let breakers = Breakers::new(config.feeds.iter().map(|feed| feed.venue));
    let dialler = Dialler::new(targets, cold_side.clone(), breakers.clone());
    let failures = dialler.failures();
    let fetcher = SnapshotFetcher::new(sources, cold_side.clone(), breakers.clone());
    let has_checkpoints = checkpoint_sources.iter().any(|source| !source.urls.is_empty());
    let checkpoints =
        has_checkpoints.then(|| CheckpointFetcher::new(checkpoint_sources, cold_side.clone(), breakers.clone()));
    let venues: Vec<VenueId> = config.feeds.iter().map(|feed| feed.venue).collect();
    let counts = move || ColdCounts {
        dial_failures: sum_by_venue(
            venues
                .iter()
                .enumerate()
                .map(|(feed, venue)| (*venue, [failures.of(feed)])),
        ),
        breakers: breakers.read(),
        capture: sum_by_venue(capture_counts.iter().map(|(venue, counts)| (*venue, counts.read()))),
    };
    let housekeeping = Housekeeping::new(region, cold_side.clone(), symbols, config.capture.is_some());

    let mut cold = Vec::new();
    let mut start = |name: String, work: Work| -> Result<(), StartError> {
        let stop = Arc::clone(&stop_cold);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || work(&stop))
            .map_err(StartError::Thread)?;
        cold.push(thread);
        Ok(())
    };
    if let Some((models, reload)) = models {
        let cold_side = cold_side.clone();
        start(
            "models".to_owned(),
            Box::new(move |stop| models.run(&cold_side, &reload, stop)),
        )?;
    }
    if let Some(ranking) = ranking {
        let cold_side = cold_side.clone();
        start(
            "ranking".to_owned(),
            Box::new(move |stop| ranking.run(&cold_side, stop)),
        )?;
    }
    start("dialler".to_owned(), Box::new(move |stop| dialler.run(stop)))?;
    start("snapshots".to_owned(), Box::new(move |stop| fetcher.run(stop)))?;
    if let Some(checkpoints) = checkpoints {
        start("checkpoints".to_owned(), Box::new(move |stop| checkpoints.run(stop)))?;
    }
    start(
        "housekeeping".to_owned(),
        Box::new(move |stop| housekeeping.run(stop, counts)),
    )?;
    for (index, capture) in captures.into_iter().enumerate() {
        start(format!("capture-{index}"), Box::new(move |stop| capture.run(stop)))?;
    }
    let hot = start_hot(shard, config.engine.core, Arc::clone(stop))?;
    Ok(Running { hot, cold, stop_cold })
}

/// Starts the hot thread and waits until it is where it should be.
fn start_hot<O: Output + Send + 'static>(
    mut shard: Shard<O, Option<FeedTap>>,
    core: Option<usize>,
    stop: Arc<AtomicBool>,
) -> Result<JoinHandle<O>, StartError> {
    let (ready, is_ready) = mpsc::sync_channel(1);
    let work = move || {
        let pinned = core.map(os::pin_thread);
        let _ = ready.send(pinned);
        if let Err(error) = shard.run(&stop) {
            // The thread is not hot any more.
            tracing::error!(%error, "the kernel refuses to be polled: the engine ends");
        }
        shard.into_output()
    };
    let hot = thread::Builder::new()
        .name("hot-0".to_owned())
        .spawn(work)
        .map_err(StartError::Thread)?;
    match (is_ready.recv().unwrap_or_default(), core) {
        (Some(false), Some(core)) => tracing::warn!(core, "the hot thread cannot be pinned to this processor"),
        (Some(true), Some(core)) => tracing::info!(core, "the hot thread is pinned"),
        _ => {}
    }
    Ok(hot)
}

/// What a feed's configuration means for each of the threads.
struct FeedPlan {
    session: Session,
    lines: LinePlan,
    target: DialTarget,
    source: SnapshotSource,
    /// Without addresses where it has none.
    checkpoints: SnapshotSource,
}

impl FeedPlan {
    fn of(index: usize, feed: &FeedConfig, session: &SessionConfig) -> Result<Self, StartError> {
        let session = Session::new(session).map_err(|source| StartError::Session { feed: index, source })?;
        let pem = match &feed.ca_file {
            Some(path) => Some(fs::read(path).map_err(|source| StartError::CaFile {
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        let tls_error = |source| StartError::Tls { feed: index, source };
        let tls = TlsClientConfig::new(pem.as_deref().map_or(TlsRoots::Mozilla, TlsRoots::Pem)).map_err(tls_error)?;
        let address = format!("{}{}", feed.url, session.websocket_path());
        let endpoint: Endpoint = address
            .parse()
            .map_err(|source| StartError::Endpoint { feed: index, source })?;
        let tcp = TcpOptions {
            busy_poll_us: feed.busy_poll.map(|time| time.as_micros() as u32),
            ..TcpOptions::default()
        };
        let limits = Limits {
            message_bytes_max: feed.message_bytes_max,
            ..Limits::default()
        };
        let options = DialOptions {
            tls: Some(tls),
            tcp,
            limits,
            ..DialOptions::default()
        };
        let ids = || session.instruments().iter().map(|instrument| instrument.id);
        let url = |path: &str| format!("{}{path}", feed.rest_url);
        let urls = ids().filter_map(|id| session.rest_path(id)).map(url).collect();
        let checkpoint_urls = match feed.checkpoint_interval {
            Some(_) => ids().filter_map(|id| session.checkpoint_path(id)).map(url).collect(),
            None => Vec::new(),
        };
        let client = RestClient::new(&RestOptions {
            roots_pem: pem,
            ..RestOptions::default()
        })
        .map_err(|source| StartError::Rest { feed: index, source })?;
        // Connections that were made together should not be replaced together.
        let jitter = 1.0 - LIFE_JITTER * rand::random::<f64>();
        let lines = LinePlan {
            is_redundant: feed.redundant,
            life: feed.connection_life.map(|life| life.mul_f64(jitter)),
            makes_before_breaks: true,
        };
        Ok(Self {
            session,
            lines,
            target: DialTarget {
                is_redundant: feed.redundant,
                venue: feed.venue,
                endpoint,
                options,
            },
            checkpoints: SnapshotSource {
                venue: feed.venue,
                client: client.clone(),
                urls: checkpoint_urls,
            },
            source: SnapshotSource {
                venue: feed.venue,
                client,
                urls,
            },
        })
    }
}

/// What several feeds of a venue counted, together.
fn sum_by_venue<const N: usize>(counts: impl Iterator<Item = (VenueId, [u64; N])>) -> Vec<(VenueId, [u64; N])> {
    let mut sums: Vec<(VenueId, [u64; N])> = Vec::new();
    for (venue, counts) in counts {
        match sums.iter_mut().find(|(other, _)| *other == venue) {
            Some((_, sum)) => sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
            None => sums.push((venue, counts)),
        }
    }
    sums
}

/// Both ends of a feed's capture, where one is configured.
type Capture = (FeedTap, CaptureThread, Arc<Counts>);

fn open_capture(config: &Config, index: usize, feed: &FeedConfig) -> Result<Option<Capture>, StartError> {
    let Some(capture) = &config.capture else {
        return Ok(None);
    };
    let prefix = capture.dir.join(format!("{}-{index}", feed.venue));
    let opened = capture::open(&prefix, &feed.url, capture.buffer_bytes);
    opened
        .map(Some)
        .map_err(|source| StartError::Capture { feed: index, source })
}
