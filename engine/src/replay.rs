//! A capture through the same code as a live session, without sockets, threads or clocks.
//!
//! The session, the features and the model are the very ones of the hot thread; what differs is who calls the session
//! and where predictions go. So what comes out is byte for byte what a live engine would have published.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::capture::{CaptureError, CaptureReader, RealTime, ReplaySummary, replay, unpaced};
use quantumflow_feeds::venue::{Session, SessionConfig, SessionConfigError};
use quantumflow_region::{CreateError, ReadError, RegionOptions, RegionReader, RegionWriter, RegisterError, Snapshot};

use crate::cold::{LineupError, Models};
use crate::hot::{HotMetrics, Mailbox, MailboxSizes, Output, PredictSink, SymbolOrigin};
use crate::model::{Model, ModelSet};
use crate::os::TimeBase;

/// What is replayed, and how.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// The files of one feed, joined in this order.
    pub paths: Vec<PathBuf>,
    /// Whose protocol they speak.
    pub venue: VenueId,
    /// The instruments, in the venue's spelling.
    pub symbols: Vec<String>,
    /// Levels per side, as they were subscribed.
    pub depth: Option<u32>,
    /// So many times faster than it was; `None` as fast as it goes.
    pub speed: Option<f64>,
    /// The probability from which a prediction is a signal.
    pub signal_threshold: f32,
}

/// What came out, beside the predictions.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What was read.
    pub capture: ReplaySummary,
    /// What was counted, as a live engine would have in its region.
    pub counted: Snapshot,
}

/// Why a capture cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The session refuses its configuration.
    #[error(transparent)]
    Session(#[from] SessionConfigError),
    /// The capture cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No memory for the counts.
    #[error("cannot make room for the counts")]
    Region(#[from] CreateError),
    /// There is no room for the model.
    #[error(transparent)]
    Models(#[from] LineupError),
    /// No block for the counts.
    #[error("cannot register the counts")]
    Register(#[from] RegisterError),
    /// The counts cannot be read back.
    #[error("cannot read the counts")]
    Read(#[from] ReadError),
}

impl ReplayPlan {
    /// A session for these files.
    pub fn session(&self) -> Result<Session, SessionConfigError> {
        let mut config = SessionConfig::new(self.venue, &self.symbols);
        if let Some(depth) = self.depth {
            config.depth = depth;
        }
        Session::new(&config)
    }

    /// Replays into features, model and `output`, which is returned with the counts.
    pub fn run<O: Output>(&self, model: Option<&Arc<Model>>, output: O) -> Result<(O, Replayed), ReplayError> {
        let mut session = self.session()?;
        let origin = |symbol: &String| SymbolOrigin {
            feed: 0,
            venue: self.venue,
            symbol: symbol.clone(),
        };
        let symbols: Vec<_> = self.symbols.iter().map(origin).collect();
        let region = RegionWriter::private(&RegionOptions::new("replay", 0))?;
        let metrics = HotMetrics::register(region.writer("hot-0")?, &symbols);
        let mut models = Models::new(&region, symbols.len());
        let lineup = model.map(|model| models.lineup(&ModelSet::from(Arc::clone(model)), self.signal_threshold));
        let (mailbox, _cold) = Mailbox::new(MailboxSizes {
            feeds: 1,
            symbols: symbols.len(),
            events: 1,
        });
        let time = TimeBase::calibrate(Duration::from_millis(1));
        let mut sink = PredictSink::new(&symbols, lineup.transpose()?, output, metrics, mailbox, time);
        sink.select(0);
        let mut reader = CaptureReader::open(&self.paths)?;
        let capture = match self.speed {
            None => replay(&mut reader, &mut session, &mut sink, unpaced)?,
            Some(speed) => {
                let mut clock = RealTime::new(speed);
                replay(&mut reader, &mut session, &mut sink, |time| clock.wait(time))?
            }
        };
        let counted = RegionReader::of(&region)?.snapshot()?;
        Ok((sink.into_output(), Replayed { capture, counted }))
    }
}
