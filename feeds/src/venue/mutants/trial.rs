//! One session, one mistake, one conversation: what is noticed, and when.

use super::rules::Mutated;
use super::script::{Hears, Script, What};
use super::truth::Truth;
use super::{CURRENT, Mistake};
use crate::Sink;
use crate::clock::NoClock;
use crate::event::{BookUpdate, FeedEvent, ResyncReason, Stamps, Trade};
use crate::types::{SymbolId, UnixNanos, VenueId};
use crate::venue::rules::{LEVELS_MAX, Rules, SnapshotSource};
use crate::venue::session::VenueSession;
use crate::venue::wire::Wire;
use crate::venue::{Outbox, SessionConfig, binance, bybit, coinbase, coinbase_exchange, kraken, okx};

/// What a trial has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// The first alarm, by its name in logs.
    pub(super) alarm: Option<&'static str>,
    /// Books that were shown until then.
    pub(super) shown: usize,
    /// Which of them was the first that was wrong, counted from one.
    pub(super) first_wrong: Option<usize>,
    /// The book that is shown at the end is right.
    pub(super) is_right_at_end: bool,
}

impl Outcome {
    /// Books that were shown from the first wrong one on.
    pub(super) fn wrong(&self) -> usize {
        self.first_wrong.map_or(0, |first| self.shown + 1 - first)
    }
}

/// How a venue is tried. Without any mistake it is the control; `None` where the mistake cannot be made, or where the
/// conversation has nothing that would show it.
pub(super) type Trial = fn(&SessionConfig, &Script, Mistake) -> Option<Outcome>;

pub(super) fn trial_of(venue: VenueId) -> Trial {
    match venue {
        VenueId::BinanceSpot => trial::<binance::Binance<binance::spot::Spot>>,
        VenueId::BinanceUsdm => trial::<binance::Binance<binance::usdm::Usdm>>,
        VenueId::KrakenV2 => trial::<kraken::Kraken>,
        VenueId::BybitSpot | VenueId::BybitLinear => trial::<bybit::Bybit>,
        VenueId::OkxV5 => trial::<okx::Okx>,
        VenueId::CoinbaseAdvanced => trial::<coinbase::Coinbase>,
        VenueId::CoinbaseExchange => trial::<coinbase_exchange::CoinbaseExchange>,
    }
}

fn trial<R: Rules>(config: &SessionConfig, script: &Script, mistake: Mistake) -> Option<Outcome> {
    let spellings = config.check().unwrap();
    let levels_max = R::new(config, &spellings).levels_max(SymbolId(0));
    let depth = (levels_max < LEVELS_MAX).then_some(config.depth as usize);
    let can_be_made = match mistake {
        Mistake::NeverCut | Mistake::CutShort => depth.is_some(),
        Mistake::StraddleRefused | Mistake::StraddleDropped | Mistake::StaleSeedTaken | Mistake::ContainedApplied => {
            R::SNAPSHOTS != SnapshotSource::Stream
        }
        // Elsewhere a scale is any that holds the numbers.
        Mistake::DecimalsOff => !R::RESCALES,
        // Only there a message may name a price twice.
        Mistake::OrderReversed => config.venue == VenueId::KrakenV2,
        // There is no proof to ask.
        Mistake::LostUnnoticed => config.venue != VenueId::CoinbaseExchange,
        _ => true,
    };
    if !can_be_made {
        return None;
    }
    let script = script.set_for::<R::Wire>(mistake, config)?;
    CURRENT.set(mistake);
    let mut session = VenueSession::<Mutated<R>>::new(config, spellings);
    let mut watch = Watch {
        truth: Truth::new::<R>(config, depth),
        outcome: Outcome::default(),
    };
    let mut out = Outbox::new();
    let mut stamps = Stamps {
        receive_time: START,
        ..Stamps::default()
    };
    session.on_open(START, &mut watch, &mut out);
    for line in &script.lines {
        let (for_truth, for_session) = (line.hears != Hears::Session, line.hears != Hears::Truth);
        stamps.receive_time.0 += 1_000_000;
        match line.what {
            What::Frame if for_truth => watch.truth.hear_frame(&line.bytes),
            What::Rest if for_truth => watch.truth.hear_rest(&line.bytes),
            What::Reopen => watch.truth.reopen(),
            _ => {}
        }
        match line.what {
            What::Frame if for_session => session.on_frame(&line.bytes, &mut stamps, NoClock, &mut watch, &mut out),
            What::Rest if for_session => {
                session.on_snapshot(SymbolId(0), Ok(&line.bytes), &mut stamps, NoClock, &mut watch, &mut out);
            }
            What::Reopen => {
                session.on_close(&mut watch);
                session.on_open(stamps.receive_time, &mut watch, &mut out);
            }
            _ => {}
        }
        out.clear();
        if watch.outcome.alarm.is_some() {
            break;
        }
    }
    CURRENT.set(Mistake::None);
    let scale = session.instruments()[0].scale;
    let book = session.book(SymbolId(0));
    watch.outcome.is_right_at_end = book.is_some_and(|book| watch.truth.is_now(book, scale));
    Some(watch.outcome)
}

/// Compares what is shown with the truth until the first alarm.
struct Watch<W> {
    truth: Truth<W>,
    outcome: Outcome,
}

impl<W: Wire> Sink for Watch<W> {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let outcome = &mut self.outcome;
        if outcome.alarm.is_some() {
            return;
        }
        outcome.shown += 1;
        if outcome.first_wrong.is_none() && !self.truth.agrees_with(update) {
            outcome.first_wrong = Some(outcome.shown);
        }
    }

    fn on_trade(&mut self, _: &Trade<'_>, _: &Stamps) {}

    fn on_event(&mut self, event: FeedEvent) {
        let alarm = match event {
            FeedEvent::ResyncStarted {
                reason: ResyncReason::Start | ResyncReason::Disconnected,
                ..
            } => return,
            FeedEvent::ResyncStarted { reason, .. } => reason.name(),
            FeedEvent::SnapshotRejected { .. } => "snapshot_rejected",
            _ => return,
        };
        self.outcome.alarm.get_or_insert(alarm);
    }
}

const START: UnixNanos = UnixNanos(1_700_000_000_000_000_000);
