//! One TOML file, two types: `File` is what a person wrote, [`Config`] is what the program needs.
//!
//! `default.toml` is the manual and the source of the defaults: a user's file is laid over it key by key. Unknown keys
//! are refused with the nearest known name; every error says where it is and how to mend it.

mod resolve;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use resolve::{CaptureConfig, Config, EngineConfig, FeedConfig, LogConfig, ModelConfig, ModelSource, RegionConfig};

/// The manual: every setting with its meaning and its default.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// A configuration file larger than this is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{} has {bytes} bytes, more than the {FILE_BYTES_MAX} that a configuration may have", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not TOML, a wrong type, or an unknown key.
    #[error("{}: {message}", origin.display())]
    Syntax {
        /// Which file.
        origin: PathBuf,
        /// Line, column and reason.
        message: String,
    },
    /// A value that cannot be meant.
    #[error("{key} = {value}: {reason}")]
    Value {
        /// The full name of the key, as `feed[0].url`.
        key: String,
        /// What was written.
        value: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    engine: EngineFile,
    model: ModelFile,
    region: RegionFile,
    capture: CaptureFile,
    log: LogFile,
    #[serde(default)]
    feed: Vec<FeedFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineFile {
    name: String,
    core: i64,
    idle: String,
    idle_spins: u32,
    idle_wait_us: u32,
    lock_memory: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    path: String,
    signal_threshold: f32,
    shadows: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionFile {
    dir: PathBuf,
    bytes: u64,
    keep_dead: u32,
    ring_slots: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureFile {
    dir: PathBuf,
    buffer_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFile {
    level: String,
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedFile {
    venue: String,
    symbols: Vec<String>,
    url: Option<String>,
    rest_url: Option<String>,
    #[serde(default)]
    ca_file: PathBuf,
    depth: Option<u32>,
    message_bytes_max: Option<u64>,
    backlog_bytes_max: Option<u64>,
    subscription_timeout_s: Option<u32>,
    checkpoint_interval_s: Option<u32>,
    #[serde(default)]
    redundant: bool,
    connection_life_s: Option<u32>,
    #[serde(default)]
    busy_poll_us: u32,
}

/// Reads, checks and resolves the file at `path`.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::metadata(path).map_err(read)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    parse(&fs::read_to_string(path).map_err(read)?, path)
}

/// The defaults, as far as they do not depend on feeds: there is none.
pub fn default() -> Result<Config, ConfigError> {
    let mut config = parse(SMALLEST, Path::new("the defaults"))?;
    config.feeds.clear();
    Ok(config)
}

/// The least that a file has to say.
const SMALLEST: &str = "[[feed]]\nvenue = \"binance\"\nsymbols = [\"BTCUSDT\"]\n";

/// Checks and resolves `text`; `origin` is only named in errors.
pub fn parse(text: &str, origin: &Path) -> Result<Config, ConfigError> {
    let syntax = |error: &toml::de::Error| ConfigError::Syntax {
        origin: origin.to_owned(),
        message: explain(error),
    };
    let written: toml::Table = toml::from_str(text).map_err(|error| syntax(&error))?;
    // The types of the file are checked on the file itself first, so that an error has its line and column.
    toml::from_str::<Lenient>(text).map_err(|error| syntax(&error))?;
    let mut merged: toml::Table = toml::from_str(DEFAULT_TOML).expect("the manual is valid TOML: a test parses it");
    overlay(&mut merged, written);
    let file = File::deserialize(toml::Value::Table(merged)).map_err(|error| syntax(&error))?;
    resolve::resolve(file)
}

/// The same sections with every key optional: what a user's file may say before the defaults are laid under it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "deserialised for its errors, which carry the position in the file"
)]
struct Lenient {
    engine: Option<LenientEngine>,
    model: Option<LenientModel>,
    region: Option<LenientRegion>,
    capture: Option<LenientCapture>,
    log: Option<LenientLog>,
    feed: Option<Vec<FeedFile>>,
}

/// Declares a section with every key optional, beside the strict one above.
macro_rules! lenient {
    ($($name:ident { $($key:ident: $kind:ty),* $(,)? })*) => {$(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "deserialised for its errors, which carry the position in the file")]
        struct $name { $($key: Option<$kind>),* }
    )*};
}

lenient! {
    LenientEngine { name: String, core: i64, idle: String, idle_spins: u32, idle_wait_us: u32, lock_memory: bool }
    LenientModel { path: String, signal_threshold: f32, shadows: Vec<String> }
    LenientRegion { dir: PathBuf, bytes: u64, keep_dead: u32, ring_slots: u32 }
    LenientCapture { dir: PathBuf, buffer_bytes: u64 }
    LenientLog { level: String, file: PathBuf }
}

fn overlay(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The parser's message with its position, and the nearest known name where a key is unknown.
fn explain(error: &toml::de::Error) -> String {
    let message = error.message();
    let mut text = error.to_string().trim_end().to_owned();
    // serde's wording: unknown field `cor`, expected one of `name`, `core`
    if message.starts_with("unknown field") {
        let mut names = message.split('`').skip(1).step_by(2);
        if let Some(unknown) = names.next() {
            let nearest = names
                .map(|known| (strsim::jaro_winkler(unknown, known), known))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((likeness, known)) = nearest
                && likeness > 0.7
            {
                text.push_str(&format!("\ndid you mean `{known}`?"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
