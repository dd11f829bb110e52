//! The messages of a venue as they came: what a run is given to read.
//!
//! From a generated market, or from a capture; one venue, its own words, its own times. Which message changes the book, and
//! how the book ends, is found beforehand with the project's session, so that a run has nothing to find out.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use quantumflow_feeds::capture::{CaptureReader, Record};
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::ws::{Opcode, encode_frame};
use quantumflow_feeds::{Side, Stamps, SymbolId, UnixNanos, VenueId};

use crate::session::CountingSink;

/// WebSocket frames of one symbol, in the order in which they came.
#[derive(Debug)]
pub struct Tape {
    /// Whose words.
    pub venue: VenueId,
    /// Of which instrument, as the venue spells it.
    pub symbol: String,
    /// The frames, unmasked, back to back.
    pub bytes: Vec<u8>,
    /// By frame: where it ends.
    pub ends: Vec<usize>,
    /// By frame: when it came, nanoseconds after the first.
    pub times_ns: Vec<u64>,
    /// By frame: whether the book was shown anew because of it.
    pub is_book: Vec<bool>,
    /// Frames before the measured ones: until the book stands, and some more.
    pub prelude: usize,
    /// The REST reply that the session needs, where the venue has one.
    pub snapshot: Option<Vec<u8>>,
    /// What the session reads, for whoever makes another.
    pub session: SessionConfig,
    /// The best bid and ask after all frames: price and quantity in 10^-8.
    pub top: [Option<(i64, i64)>; 2],
}

/// Frames that caches and branch predictors get before the measured ones.
const PRELUDE_MIN: usize = 300;
/// Books among them: features have a past by then.
const PRELUDE_BOOKS_MIN: usize = 400;

/// How a venue calls the instrument that the benches take.
pub fn bitcoin(venue: VenueId) -> &'static str {
    match venue {
        VenueId::OkxV5 => "BTC-USDT",
        VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => "BTC-USD",
        VenueId::KrakenV2 => "BTC/USD",
        _ => "BTCUSDT",
    }
}

impl Tape {
    /// `frames` of a generated market behind the prelude.
    ///
    /// # Errors
    /// No temporary file, or a market in which no book came to stand.
    pub fn of_market(venue: VenueId, seed: u64, frames: usize) -> Result<Self, Box<dyn Error>> {
        let symbol = bitcoin(venue);
        let mut seconds = 30.0;
        loop {
            let config = CaptureConfig::new(venue, &[symbol], seed, CaptureLength::Seconds(seconds));
            let mut file = tempfile::NamedTempFile::new()?;
            let mut writer = std::io::BufWriter::new(&mut file);
            market_capture(&config, &mut writer)?;
            writer.flush()?;
            drop(writer);
            let mut session = SessionConfig::new(venue, [symbol]);
            if matches!(venue, VenueId::KrakenV2 | VenueId::BybitSpot | VenueId::BybitLinear) {
                session.depth = config.depth as u32;
            }
            match Self::of_capture(session, [file.path().to_owned()], frames) {
                Ok(tape) if tape.measured() >= frames => return Ok(tape),
                // A market in which no book comes to stand would come to none in a year.
                Err(error) if seconds > 3_600.0 => return Err(error),
                _ => seconds *= 2.0,
            }
        }
    }

    /// At most `frames_max` frames behind the prelude of a capture, of which the session's first symbol is read.
    ///
    /// # Errors
    /// A capture that cannot be read, or in which no book came to stand.
    pub fn of_capture(
        session: SessionConfig,
        paths: impl IntoIterator<Item = PathBuf>,
        frames_max: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let mut reader = CaptureReader::open(paths)?;
        let mut judge = Session::new(&session)?;
        let (mut sink, mut out) = (CountingSink::default(), Outbox::new());
        let mut tape = Self {
            venue: session.venue,
            symbol: session.symbols.first().cloned().unwrap_or_default(),
            bytes: Vec::new(),
            ends: Vec::new(),
            times_ns: Vec::new(),
            is_book: Vec::new(),
            prelude: 0,
            snapshot: None,
            session,
            top: [None; 2],
        };
        let mut first = None;
        let mut warm_at = None;
        judge.on_open(UnixNanos(1), &mut sink, &mut out);
        while let Some(record) = reader.next_record()? {
            let (time, bytes, is_reply) = match record {
                Record::Frame { receive_time, frame } => (receive_time, frame, frame.starts_with(REPLY_START)),
                Record::Snapshot { receive_time, body, .. } => (receive_time, body, true),
                _ => continue,
            };
            let before = sink.books;
            let mut stamps = Stamps {
                receive_time: time,
                ..Stamps::default()
            };
            if is_reply {
                if tape.snapshot.is_none() {
                    judge.on_snapshot(SymbolId(0), Ok(bytes), &mut stamps, NoClock, &mut sink, &mut out);
                    tape.snapshot = Some(bytes.to_vec());
                }
            } else {
                judge.on_frame(bytes, &mut stamps, NoClock, &mut sink, &mut out);
                encode_frame(true, Opcode::Text, bytes, None, &mut tape.bytes);
                tape.ends.push(tape.bytes.len());
                tape.times_ns.push(time.0 - *first.get_or_insert(time.0));
                tape.is_book.push(sink.books > before);
            }
            out.clear();
            if sink.books >= PRELUDE_BOOKS_MIN {
                let prelude = *warm_at.get_or_insert(tape.ends.len().max(PRELUDE_MIN));
                if tape.ends.len() >= prelude + frames_max {
                    break;
                }
            }
        }
        tape.prelude = warm_at
            .ok_or("too few books: a longer capture, or another symbol")?
            .min(tape.ends.len());
        tape.top = top(&judge);
        Ok(tape)
    }

    /// Frames behind the prelude.
    pub fn measured(&self) -> usize {
        self.ends.len() - self.prelude
    }

    /// The frames of that range, with their headers.
    pub fn frames(&self, range: std::ops::Range<usize>) -> &[u8] {
        let start = |frame: usize| frame.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start(range.start)..start(range.end)]
    }
}

/// How an unmarked REST reply of Binance begins.
const REPLY_START: &[u8] = b"{\"lastUpdateId\"";

/// The best bid and ask of a session's first book, in 10^-8.
pub fn top(session: &Session) -> [Option<(i64, i64)>; 2] {
    let scale = session.instruments()[0].scale;
    let full = |value: i64, decimals: u8| value * 10_i64.pow(8_u32.saturating_sub(decimals.into()));
    [Side::Bid, Side::Ask].map(|side| {
        let level = session.book(SymbolId(0))?.best(side)?;
        Some((full(level.price.0, scale.price), full(level.qty.0, scale.qty)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_venue_has_a_tape() {
        for venue in VenueId::ALL {
            let tape = Tape::of_market(venue, 3, 200).unwrap();
            assert!(tape.measured() >= 200 && tape.prelude >= PRELUDE_MIN, "{venue}");
            let books = tape.is_book[tape.prelude..].iter().filter(|is_book| **is_book).count();
            assert!(books > 5, "{venue}: {books}");
            assert!(tape.times_ns.is_sorted(), "{venue}");
            let [Some(bid), Some(ask)] = tape.top else {
                panic!("{venue} has no top")
            };
            assert!(bid.0 < ask.0, "{venue}");
            assert_eq!(tape.snapshot.is_some(), venue.facts().has_rest_snapshots, "{venue}");
        }
    }
}
