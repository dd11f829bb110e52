//! For the tests of every venue: the scanner of the hot shapes against the slow road.

use std::path::PathBuf;

use proptest::prelude::*;

use super::message::{Message, ParseError, Print, Route};
use super::wire::Wire;
use crate::capture::{CaptureReader, Record};
use crate::event::LevelChange;
use crate::types::{Scale, SymbolId};

/// Two readers of the same frames, one of which never scans.
pub(super) struct Roads<W> {
    quick: W,
    slow: W,
    pub(super) changes: Vec<LevelChange>,
    pub(super) prints: Vec<Print>,
    slow_changes: Vec<LevelChange>,
    slow_prints: Vec<Print>,
}

impl<W: Wire> Roads<W> {
    /// Two symbols at one scale.
    pub(super) fn new(symbols: [&str; 2], scale: Scale) -> Self {
        let reader = || {
            let mut reader = W::new(symbols.into_iter());
            assert!(reader.set_scale(SymbolId(0), scale) && reader.set_scale(SymbolId(1), scale));
            reader
        };
        Self {
            quick: reader(),
            slow: reader(),
            changes: Vec::new(),
            prints: Vec::new(),
            slow_changes: Vec::new(),
            slow_prints: Vec::new(),
        }
    }

    /// What both say. What the scanner does not read it hands over, so any difference is a frame that it read wrongly.
    pub(super) fn check(&mut self, frame: &[u8]) -> Result<Message, ParseError> {
        let quick = self.quick.parse(frame, &mut self.changes, &mut self.prints);
        let slow = self
            .slow
            .parse_slowly(frame, &mut self.slow_changes, &mut self.slow_prints);
        assert_eq!(quick, slow, "{}", String::from_utf8_lossy(frame));
        if quick.is_ok() {
            assert_eq!(self.changes, self.slow_changes, "{}", String::from_utf8_lossy(frame));
            assert_eq!(self.prints, self.slow_prints, "{}", String::from_utf8_lossy(frame));
        }
        quick
    }

    /// Whether the scanner alone reads it.
    pub(super) fn is_hot(&mut self, frame: &[u8]) -> bool {
        match self.quick.route(frame) {
            Ok(Route::Market(market)) => market.head.is_some_and(|head| {
                self.changes.clear();
                self.prints.clear();
                let read = self.quick.scan(frame, &head, &mut self.changes, &mut self.prints);
                read.is_some()
            }),
            _ => false,
        }
    }

    /// Every cut of a frame is an error, and every frame with one byte changed, taken out or put in is read alike.
    pub(super) fn check_every_edit(&mut self, frame: &str) {
        assert!(self.is_hot(frame.as_bytes()), "{frame}");
        self.check(frame.as_bytes()).unwrap();
        for at in 0..frame.len() {
            assert!(self.check(&frame.as_bytes()[..at]).is_err());
            let mut mutant = frame.as_bytes().to_vec();
            for byte in b" \"\\{}[],:.-+019eEtfnNZb\x00\x7f" {
                mutant[at] = *byte;
                let _ = self.check(&mutant);
            }
            mutant = frame.as_bytes().to_vec();
            mutant.remove(at);
            let _ = self.check(&mutant);
            for byte in b" \"0,.]}9" {
                let mut mutant = frame.as_bytes().to_vec();
                mutant.insert(at, *byte);
                let _ = self.check(&mutant);
            }
        }
    }
}

/// One of the frames with a few bytes changed, put in or taken out.
pub(super) fn mutants(frames: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..3, any::<u8>()), 1..6);
    (prop::sample::select(frames), edits).prop_map(|(frame, edits)| {
        let mut mutant = frame.as_bytes().to_vec();
        for (at, what, byte) in edits {
            let at = at.index(mutant.len());
            match what {
                0 => mutant[at] = byte,
                1 => mutant.insert(at, byte),
                _ => {
                    mutant.remove(at);
                }
            }
        }
        mutant
    })
}

/// The first frames of a recording, where the recordings are.
pub(super) fn recorded(path: &str, limit: usize) -> Option<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(path);
    if !path.exists() {
        println!("skipped: no recording at {}", path.display());
        return None;
    }
    let mut reader = CaptureReader::open([path]).unwrap();
    let mut frames = Vec::new();
    while frames.len() < limit {
        match reader.next_record().unwrap() {
            Some(Record::Frame { frame, .. }) => frames.push(frame.to_vec()),
            Some(_) => {}
            None => break,
        }
    }
    Some(frames)
}
