//! What a trial hears, and what is done to it so that a mistake can show.

use super::Mistake;
use super::shadow::FINE;
use super::wire::ONE_IN;
use crate::sim::market::MarketConfig;
use crate::sim::told::{self, Listener};
use crate::types::{SymbolId, VenueId};
use crate::venue::message::{BookMessage, Kind, Message, Route};
use crate::venue::wire::Wire;
use crate::venue::{Outbox, Session, SessionConfig, roads};
use crate::{Sink, UnixNanos};

/// One thing that is heard.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: What,
    pub(super) bytes: Vec<u8>,
    pub(super) hears: Hears,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Frame,
    /// The answer to a request for the whole book.
    Rest,
    /// The connection ends and another is opened.
    Reopen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hears {
    Both,
    /// It was lost on the way to the session.
    Truth,
    /// It is no news.
    Session,
}

/// What a client hears in one conversation.
pub(super) struct Script {
    is_simulated: bool,
    pub(super) lines: Vec<Line>,
    early_book: Option<Vec<u8>>,
}

impl Line {
    fn new(what: What, bytes: Vec<u8>) -> Self {
        Self {
            what,
            bytes,
            hears: Hears::Both,
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

impl Script {
    /// What the session of this configuration is told by a simulated venue.
    pub(super) fn simulated(config: &SessionConfig, seed: u64) -> Self {
        struct Deaf;
        impl Sink for Deaf {
            fn on_book(&mut self, _: &crate::event::BookUpdate<'_>, _: &crate::event::Stamps) {}
            fn on_trade(&mut self, _: &crate::event::Trade<'_>, _: &crate::event::Stamps) {}
        }
        let symbols: Vec<&str> = config.symbols.iter().map(String::as_str).collect();
        let mut market = MarketConfig::preset(config.venue, &symbols, seed);
        for symbol in &mut market.symbols {
            symbol.level_count = LEVEL_COUNT;
        }
        let mut session = Session::new(config).unwrap();
        let mut out = Outbox::new();
        session.on_open(UnixNanos(0), &mut Deaf, &mut out);
        let requests: Vec<String> = out.frames().map(str::to_owned).collect();
        let told = Listener {
            venue: config.venue,
            market: &market,
            depth_interval_ms: 100,
            target: session.websocket_path(),
            requests: &requests,
            rest_target: session.rest_path(SymbolId(0)),
            update_count: match config.venue {
                VenueId::KrakenV2 => 10 * UPDATE_COUNT, // one for each event, while others gather
                _ => UPDATE_COUNT,
            },
        }
        .listen();
        let lines = told.lines.into_iter().map(|line| match line {
            told::Line::Frame(frame) => Line::new(What::Frame, frame),
            told::Line::Rest(body) => Line::new(What::Rest, body),
        });
        Self {
            lines: lines.collect(),
            early_book: told.early_book,
            is_simulated: true,
        }
    }

    /// The beginning of a recording; `None`, with a printed word, where it is absent.
    pub(super) fn recorded(path: &str) -> Option<Self> {
        let frames = roads::recorded(path, RECORDED_LINES_MAX)?;
        let lines = frames.into_iter().map(|frame| {
            let is_rest = frame.starts_with(b"{\"lastUpdateId\"");
            Line::new(if is_rest { What::Rest } else { What::Frame }, frame)
        });
        Some(Self {
            is_simulated: false,
            lines: lines.collect(),
            early_book: None,
        })
    }

    /// What has to be heard for this mistake to show; `None` where the script has nothing of the kind.
    pub(super) fn set_for<W: Wire>(&self, mistake: Mistake, config: &SessionConfig) -> Option<Self> {
        let mut script = Self {
            lines: self.lines.clone(),
            early_book: self.early_book.clone(),
            ..*self
        };
        match mistake {
            Mistake::Lost | Mistake::LostUnnoticed => script.lose_updates::<W>(config),
            Mistake::SnapshotMerged => {
                let half = &self.lines[..self.lines.len() / 2];
                let reopen = Line::new(What::Reopen, Vec::new());
                script.lines = half.iter().chain([&reopen]).chain(&self.lines).cloned().collect();
            }
            Mistake::StraddleDropped | Mistake::StraddleRefused | Mistake::ContainedApplied => {
                script.splice::<W>(config)?;
            }
            Mistake::OrderReversed if self.is_simulated => script.gather::<W>(config),
            Mistake::StaleSeedTaken => {
                script.splice::<W>(config)?;
                let bytes = script.early_book.take()?;
                let rest = script.lines.iter().position(|line| line.what == What::Rest)?;
                script.lines[rest].hears = Hears::Truth;
                let hears = Hears::Session;
                script.lines.insert(
                    rest,
                    Line {
                        hears,
                        ..Line::new(What::Rest, bytes)
                    },
                );
            }
            _ => {}
        }
        Some(script)
    }

    /// One update in so many never comes, once the book is whole.
    fn lose_updates<W: Wire>(&mut self, config: &SessionConfig) {
        let updates = self.updates(&mut reader::<W>(config));
        for (at, _) in updates.into_iter().skip(ONE_IN).step_by(ONE_IN) {
            self.lines[at].hears = Hears::Truth;
        }
    }

    /// The whole book comes by REST, and its id lies within an update. Binance speaks so of itself; on OKX the stream's
    /// snapshot is taken out, and the two updates around the REST book made one.
    fn splice<W: Wire>(&mut self, config: &SessionConfig) -> Option<()> {
        if config.venue != VenueId::OkxV5 {
            return Some(());
        }
        let mut wire = reader::<W>(config);
        self.lines
            .retain(|line| book(&mut wire, line).is_none_or(|book| !book.is_snapshot));
        let rest = self.lines.iter().position(|line| line.what == What::Rest)?;
        let heads = self.updates(&mut wire);
        let behind = heads.partition_point(|(at, _)| *at < rest);
        let ((gone, first), (kept, second)) = (*heads.get(behind - 1)?, *heads.get(behind)?);
        let previous = |head: BookMessage| Some(format!("\"prevSeqId\":{}", head.previous_id?));
        let (old, new) = (previous(second)?, previous(first)?);
        self.lines[kept].bytes = self.lines[kept].text().replace(&old, &new).into_bytes();
        self.lines.remove(gone);
        Some(())
    }

    /// Kraken: two updates in one message, which then may name a price twice.
    fn gather<W: Wire>(&mut self, config: &SessionConfig) {
        let updates = self.updates(&mut reader::<W>(config));
        for pair in updates.chunks_exact(2) {
            let (first, second) = (pair[0].0, pair[1].0);
            self.lines[second].bytes = gathered(self.lines[first].text(), self.lines[second].text()).into_bytes();
            self.lines[first].bytes.clear();
        }
        self.lines.retain(|line| !line.bytes.is_empty());
    }

    /// Where updates of the book are, and their heads.
    fn updates<W: Wire>(&self, wire: &mut W) -> Vec<(usize, BookMessage)> {
        let books = self
            .lines
            .iter()
            .enumerate()
            .filter_map(|(at, line)| Some((at, book(wire, line)?)));
        books.filter(|(_, book)| !book.is_snapshot).collect()
    }
}

/// The second message with the levels of the first before its own.
fn gathered(first: &str, second: &str) -> String {
    let mut text = second.to_owned();
    for key in ["\"bids\":[", "\"asks\":["] {
        let list = |text: &str| {
            let start = text.find(key).unwrap() + key.len();
            start..start + text[start..].find(']').unwrap()
        };
        let (levels, place) = (&first[list(first)], list(&text));
        let comma = if levels.is_empty() || place.is_empty() { "" } else { "," };
        text.insert_str(place.start, &format!("{levels}{comma}"));
    }
    text
}

fn reader<W: Wire>(config: &SessionConfig) -> W {
    let mut wire = W::new(config.symbols.iter().map(String::as_str));
    assert!(wire.set_scale(SymbolId(0), FINE));
    wire
}

/// The head of the book message that a line is.
fn book<W: Wire>(wire: &mut W, line: &Line) -> Option<BookMessage> {
    let market = match wire.route(&line.bytes) {
        Ok(Route::Market(market)) if line.what == What::Frame => market,
        _ => return None,
    };
    if !matches!(market.kind, Kind::Snapshot | Kind::Update) {
        return None;
    }
    match wire.read(&line.bytes, &market, &mut Vec::new(), &mut Vec::new()) {
        Ok(Message::Book(book)) => Some(book),
        _ => None,
    }
}

/// Enough for every depth that is cut, few enough to compare after every message.
const LEVEL_COUNT: usize = 120;

/// Updates of a book that are heard.
const UPDATE_COUNT: usize = 500;

/// Of a recording: a minute or so of the busiest.
const RECORDED_LINES_MAX: usize = 8_000;
