//! From what a person wrote to what the program needs: units, addresses, limits, and the relations between them.

use std::path::PathBuf;
use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::net::{Endpoint, IdleStrategy};
use quantumflow_feeds::venue::SessionConfig;

use super::{ConfigError, FeedFile, File};

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hot thread and the process.
    pub engine: EngineConfig,
    /// The models.
    pub model: ModelConfig,
    /// The shared files.
    pub region: RegionConfig,
    /// What is written of the input; `None` where nothing is.
    pub capture: Option<CaptureConfig>,
    /// The log.
    pub log: LogConfig,
    /// One connection each; at least one.
    pub feeds: Vec<FeedConfig>,
}

/// The hot thread and the process.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Names the shared files.
    pub name: String,
    /// The processor of the hot thread.
    pub core: Option<usize>,
    /// What the hot thread does when nothing has come.
    pub idle: IdleStrategy,
    /// Whether memory is locked at start.
    pub lock_memory: bool,
}

/// The models.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// Where the champion comes from: its predictions are signals.
    pub source: ModelSource,
    /// Where those come from that predict beside it, unheard.
    pub shadows: Vec<ModelSource>,
    /// The probability from which a prediction is a signal.
    pub signal_threshold: f32,
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// Compiled into the command.
    Builtin(String),
    /// An ONNX file.
    File(PathBuf),
}

impl From<&str> for ModelSource {
    /// As a person writes it: a path, or `builtin:` and a name.
    fn from(text: &str) -> Self {
        match text.strip_prefix("builtin:") {
            Some(name) => Self::Builtin(name.to_owned()),
            None => Self::File(PathBuf::from(text)),
        }
    }
}

/// The shared files.
#[derive(Clone, Debug)]
pub struct RegionConfig {
    /// Their directory.
    pub dir: PathBuf,
    /// Size of the metrics region.
    pub bytes: u64,
    /// How many dead regions are kept.
    pub keep_dead: usize,
    /// Slots of the signal ring.
    pub ring_slots: u32,
}

/// What is written of the input.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// Where to.
    pub dir: PathBuf,
    /// Memory between the hot thread and the writer.
    pub buffer_bytes: usize,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The lowest level that is written.
    pub level: String,
    /// A file, or standard error.
    pub file: Option<PathBuf>,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Whose protocol it speaks.
    pub venue: VenueId,
    /// The instruments, in the venue's spelling.
    pub symbols: Vec<String>,
    /// Scheme, host and port of the WebSocket; the venue's session adds its path.
    pub url: String,
    /// Scheme, host and port of the REST interface.
    pub rest_url: String,
    /// The only certificates to trust, instead of the public roots.
    pub ca_file: Option<PathBuf>,
    /// Levels per side.
    pub depth: u32,
    /// The longest message that is believed.
    pub message_bytes_max: usize,
    /// Memory for updates that wait for their snapshot, per symbol.
    pub backlog_bytes_max: usize,
    /// How long a subscription may stay without an answer or a message.
    pub subscription_timeout: Duration,
    /// Two connections at all times, of which the faster is heard.
    pub redundant: bool,
    /// The age at which a connection is replaced, if it is.
    pub connection_life: Option<Duration>,
    /// How often each shown book is held against the venue's REST book; `None` for never.
    pub checkpoint_interval: Option<Duration>,
    /// SO_BUSY_POLL, if wanted.
    pub busy_poll: Option<Duration>,
}

impl Config {
    /// What the session of a feed is made from. Feeds of one venue share what it grants this host's address.
    pub fn session(&self, feed: &FeedConfig) -> SessionConfig {
        let sharers = self.feeds.iter().filter(|other| other.venue == feed.venue).count();
        let mut session = feed.session();
        let share = session.rest_weight_per_minute / u32::try_from(sharers).unwrap_or(u32::MAX).max(1);
        session.rest_weight_per_minute = share.max(REST_WEIGHT_MIN);
        session
    }
}

impl FeedConfig {
    fn session(&self) -> SessionConfig {
        SessionConfig {
            depth: self.depth,
            backlog_bytes: self.backlog_bytes_max,
            subscription_timeout: self.subscription_timeout,
            checkpoint_interval: self.checkpoint_interval,
            ..SessionConfig::new(self.venue, &self.symbols)
        }
    }
}

/// What even one of many feeds of a venue is left: the dearest snapshot a minute.
const REST_WEIGHT_MIN: u32 = 250;

/// More models beside the champion no hot thread has time for.
const SHADOWS_MAX: usize = 7;

/// Memory for updates that wait, of one symbol and of all symbols of a feed.
const BACKLOG_BYTES: u64 = 8 << 20;
const FEED_BACKLOG_BYTES: u64 = 256 << 20;

/// How often a book is held against the venue's unless a feed says otherwise.
const CHECKPOINT_INTERVAL_S: u32 = 60;

pub(super) fn resolve(file: File) -> Result<Config, ConfigError> {
    let engine = file.engine;
    if engine.name.is_empty()
        || !engine
            .name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    {
        return Err(value(
            "engine.name",
            &engine.name,
            "names files: use letters, digits, - and _",
        ));
    }
    let core = match engine.core {
        -1 => None,
        core => {
            Some(usize::try_from(core).map_err(|_| value("engine.core", core, "a processor number, or -1 for none"))?)
        }
    };
    let wait = Duration::from_micros(u64::from(engine.idle_wait_us));
    let idle = match engine.idle.as_str() {
        "spin" => IdleStrategy::Spin,
        "spin-wait" => IdleStrategy::SpinThenWait {
            spins: engine.idle_spins,
            timeout: wait,
        },
        "wait" => IdleStrategy::Wait { timeout: wait },
        other => return Err(value("engine.idle", other, "one of spin, spin-wait, wait")),
    };
    if wait < Duration::from_micros(10) || wait > Duration::from_millis(100) {
        return Err(value(
            "engine.idle_wait_us",
            engine.idle_wait_us,
            "between 10 and 100000",
        ));
    }
    let threshold = file.model.signal_threshold;
    if !(0.0..=1.0).contains(&threshold) {
        return Err(value("model.signal_threshold", threshold, "a probability, 0 to 1"));
    }
    if file.model.path.is_empty() {
        return Err(value(
            "model.path",
            "",
            "name an ONNX file, or one that is compiled in, such as builtin:mlp_v1",
        ));
    }
    let source = ModelSource::from(file.model.path.as_str());
    if file.model.shadows.len() > SHADOWS_MAX {
        let reason = format!("at most {SHADOWS_MAX}: each costs the hot thread its own time on every update");
        return Err(value(
            "model.shadows",
            format!("{} of them", file.model.shadows.len()),
            reason,
        ));
    }
    if let Some(at) = file.model.shadows.iter().position(String::is_empty) {
        return Err(value(
            &format!("model.shadows[{at}]"),
            "",
            "name an ONNX file, or builtin:mlp_v1",
        ));
    }
    let shadows = file
        .model
        .shadows
        .iter()
        .map(|path| ModelSource::from(path.as_str()))
        .collect();
    let region = file.region;
    if !(65_536..=1 << 30).contains(&region.bytes) {
        return Err(value("region.bytes", region.bytes, "between 65536 and 1073741824"));
    }
    if !region.ring_slots.is_power_of_two() || !(8..=1 << 24).contains(&region.ring_slots) {
        return Err(value(
            "region.ring_slots",
            region.ring_slots,
            "a power of two between 8 and 16777216",
        ));
    }
    let capture = (!file.capture.dir.as_os_str().is_empty()).then(|| CaptureConfig {
        dir: file.capture.dir.clone(),
        buffer_bytes: clamp_size(file.capture.buffer_bytes),
    });
    if capture.is_some() && !(1 << 20..=1 << 32).contains(&file.capture.buffer_bytes) {
        return Err(value(
            "capture.buffer_bytes",
            file.capture.buffer_bytes,
            "between 1048576 and 4294967296",
        ));
    }
    if !["error", "warn", "info", "debug"].contains(&file.log.level.as_str()) {
        return Err(value("log.level", &file.log.level, "one of error, warn, info, debug"));
    }
    if file.feed.is_empty() {
        return Err(value(
            "feed",
            "[]",
            "no feed is configured: add a [[feed]] section with venue and symbols",
        ));
    }
    let feeds = file
        .feed
        .into_iter()
        .enumerate()
        .map(|(at, feed)| resolve_feed(at, feed))
        .collect::<Result<_, _>>()?;
    Ok(Config {
        engine: EngineConfig {
            name: engine.name,
            core,
            idle,
            lock_memory: engine.lock_memory,
        },
        model: ModelConfig {
            source,
            shadows,
            signal_threshold: threshold,
        },
        region: RegionConfig {
            dir: region.dir,
            bytes: region.bytes,
            keep_dead: region.keep_dead as usize,
            ring_slots: region.ring_slots,
        },
        capture,
        log: LogConfig {
            level: file.log.level,
            file: (!file.log.file.as_os_str().is_empty()).then_some(file.log.file),
        },
        feeds,
    })
}

fn resolve_feed(at: usize, feed: FeedFile) -> Result<FeedConfig, ConfigError> {
    let key = |name: &str| format!("feed[{at}].{name}");
    let venue = VenueId::from_name(&feed.venue).ok_or_else(|| {
        let known: Vec<_> = VenueId::ALL.iter().map(|venue| venue.name()).collect();
        value(&key("venue"), &feed.venue, format!("one of {}", known.join(", ")))
    })?;
    if feed.symbols.is_empty() {
        return Err(value(&key("symbols"), "[]", "name at least one symbol"));
    }
    let mut seen = feed.symbols.clone();
    seen.sort_unstable();
    if let Some(pair) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(value(&key("symbols"), &pair[0], "named twice"));
    }
    let facts = venue.facts();
    let depth = feed.depth.unwrap_or(facts.default_depth);
    if !(facts.has_depth)(depth) {
        return Err(value(&key("depth"), depth, facts.depths));
    }
    let url = feed.url.unwrap_or_else(|| facts.websocket_url.to_owned());
    url.parse::<Endpoint>()
        .map_err(|error| value(&key("url"), &url, error))?;
    let rest_url = feed.rest_url.unwrap_or_else(|| facts.rest_url.to_owned());
    if !(rest_url.starts_with("https://") || rest_url.starts_with("http://")) {
        return Err(value(&key("rest_url"), &rest_url, "an http:// or https:// address"));
    }
    let message_bytes_max = feed.message_bytes_max.unwrap_or(16 << 20);
    if !(4096..=256 << 20).contains(&message_bytes_max) {
        return Err(value(
            &key("message_bytes_max"),
            message_bytes_max,
            "between 4096 and 268435456",
        ));
    }
    let usual_backlog = (FEED_BACKLOG_BYTES / feed.symbols.len() as u64).clamp(65_536, BACKLOG_BYTES);
    let backlog_bytes_max = feed.backlog_bytes_max.unwrap_or(usual_backlog);
    if !(65_536..=1 << 30).contains(&backlog_bytes_max) {
        return Err(value(
            &key("backlog_bytes_max"),
            backlog_bytes_max,
            "between 65536 and 1073741824",
        ));
    }
    let usual_s = u32::try_from(facts.subscription_timeout.as_secs()).unwrap_or(u32::MAX);
    let subscription_timeout_s = feed.subscription_timeout_s.unwrap_or(usual_s);
    if !(1..=600).contains(&subscription_timeout_s) {
        return Err(value(
            &key("subscription_timeout_s"),
            subscription_timeout_s,
            "between 1 and 600",
        ));
    }
    if feed.redundant && !facts.shares_ids {
        return Err(value(
            &key("redundant"),
            feed.redundant,
            format!("the messages of {venue} carry no ids that two connections share, so only one can be heard"),
        ));
    }
    // An hour before the venue ends it, less what the jitter takes.
    let usual_life = facts
        .connection_life
        .map(|life| life.saturating_sub(Duration::from_secs(3600)));
    let connection_life = match feed.connection_life_s {
        None => usual_life,
        Some(0) => None,
        Some(_) if !facts.shares_ids => {
            return Err(value(
                &key("connection_life_s"),
                feed.connection_life_s.unwrap_or_default(),
                format!(
                    "the messages of {venue} carry no ids that two connections share, so none can take over: leave it out"
                ),
            ));
        }
        Some(seconds @ 10..=604_800) => Some(Duration::from_secs(u64::from(seconds))),
        Some(seconds) => {
            return Err(value(
                &key("connection_life_s"),
                seconds,
                "0 for never, or between 10 and 604800",
            ));
        }
    };
    let has_checkpoints = (facts.has_checkpoints)(depth);
    let checkpoint_interval_s = match feed.checkpoint_interval_s {
        Some(wanted @ 1..) if !has_checkpoints => {
            return Err(value(
                &key("checkpoint_interval_s"),
                wanted,
                format!(
                    "the REST books of {venue} have no ids of the stream at depth {depth}: leave it out, or write 0"
                ),
            ));
        }
        Some(wanted) => wanted,
        None if has_checkpoints => CHECKPOINT_INTERVAL_S,
        None => 0,
    };
    if checkpoint_interval_s != 0 && !(5..=86_400).contains(&checkpoint_interval_s) {
        return Err(value(
            &key("checkpoint_interval_s"),
            checkpoint_interval_s,
            "between 5 and 86400, or 0 for never",
        ));
    }
    let feed = FeedConfig {
        venue,
        symbols: feed.symbols,
        url: url.trim_end_matches('/').to_owned(),
        rest_url: rest_url.trim_end_matches('/').to_owned(),
        ca_file: (!feed.ca_file.as_os_str().is_empty()).then_some(feed.ca_file),
        depth,
        message_bytes_max: clamp_size(message_bytes_max),
        backlog_bytes_max: clamp_size(backlog_bytes_max),
        subscription_timeout: Duration::from_secs(u64::from(subscription_timeout_s)),
        redundant: feed.redundant,
        connection_life,
        checkpoint_interval: (checkpoint_interval_s > 0).then(|| Duration::from_secs(u64::from(checkpoint_interval_s))),
        busy_poll: (feed.busy_poll_us > 0).then(|| Duration::from_micros(u64::from(feed.busy_poll_us))),
    };
    // Spellings, and what the venue takes on one connection.
    match feed.session().verify() {
        Ok(()) => Ok(feed),
        Err(error) => Err(value(&key("symbols"), format!("{} of them", feed.symbols.len()), error)),
    }
}

fn clamp_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn value(key: &str, value: impl ToString, reason: impl ToString) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        value: value.to_string(),
        reason: reason.to_string(),
    }
}
