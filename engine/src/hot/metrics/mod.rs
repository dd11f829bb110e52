//! The hot thread's cells in the region, and which event goes into which.
//!
//! Every cell is registered at the start; on the hot path there are only plain stores through handles that are found by
//! index. What could not be registered counts into a detached cell, so that no branch here asks whether it exists.

mod cells;

use quantumflow_feeds::event::{FeedEvent, ResyncReason};
use quantumflow_feeds::feed::{Lost, Progress};
use quantumflow_feeds::offset::ClockOffset;
use quantumflow_feeds::{BookUpdate, Quality, Side, Stamps, SymbolId, Ticks, UnixNanos, VenueId};
use quantumflow_region::{Counter, Histogram, ThreadWriter, catalogue};

pub use cells::ModelCells;
pub(super) use cells::kept;
use cells::{SymbolCells, VenueCells, counter, histogram, rejection};

use super::predict::{Prediction, SymbolOrigin};
use super::recorder::FlightRecorder;
use crate::features::registry::FEATURES;
use crate::features::{Feature, FeatureGroup};
use crate::model;
use crate::os::TimeBase;

/// All cells of one hot thread.
#[derive(Debug)]
pub struct HotMetrics {
    thread: ThreadWriter,
    /// What happened, in order.
    pub(super) recorder: FlightRecorder,
    loops: Counter,
    busy_loops: Counter,
    /// By place in the shard.
    symbols: Vec<SymbolCells>,
    /// By spelling: their label does not name the venue, so that venues share them.
    signals: Vec<[Counter; 3]>,
    /// By venue; those that the shard does not speak are detached.
    venues: Vec<VenueCells>,
    /// By feed.
    venue_of_feed: Vec<usize>,
    /// By the number that a model's seats carry. There is room for [`MODEL_NAMES_MAX`] from the start.
    models: Vec<ModelCells>,
    model_failures: Counter,
    published: Counter,
    features: Vec<(Counter, u64)>,
    feature_latency: Histogram,
    stages: [Histogram; catalogue::STAGES.len()],
}

/// More names of models no engine has in its life.
pub const MODEL_NAMES_MAX: usize = 16;

/// A place in the loop, by its number in [`catalogue::PLACES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Rest,
    Connection,
    Snapshot,
    Poll,
    Read,
    Timer,
    Model,
}

const _: () = assert!(Place::Model as usize + 1 == catalogue::PLACES.len());

/// The places in [`catalogue::STAGES`].
mod stage {
    pub(super) const KERNEL: usize = 0;
    pub(super) const READ: usize = 1;
    pub(super) const DECRYPT: usize = 2;
    pub(super) const FRAME: usize = 3;
    pub(super) const PARSE: usize = 4;
    pub(super) const BOOK: usize = 5;
    pub(super) const FEATURES: usize = 6;
    pub(super) const MODEL: usize = 7;
    pub(super) const PUBLISH: usize = 8;
    pub(super) const TOTAL: usize = 9;
}

/// The places in [`catalogue::CHECKPOINTS`].
mod checkpoint {
    pub(super) const MATCH: usize = 0;
    pub(super) const MISMATCH: usize = 1;
    pub(super) const MISSED: usize = 2;
}

impl HotMetrics {
    /// Registers everything that a shard with these instruments will count but for its models' own.
    pub fn register(mut thread: ThreadWriter, symbols: &[SymbolOrigin]) -> Self {
        let thread_ref = &mut thread;
        let recorder = FlightRecorder::register(thread_ref, symbols);
        let mut spellings: Vec<&str> = Vec::new();
        let mut symbol_cells = Vec::with_capacity(symbols.len());
        for origin in symbols {
            let known = spellings.iter().position(|spelling| *spelling == origin.symbol);
            let signals = known.unwrap_or_else(|| {
                spellings.push(&origin.symbol);
                spellings.len() - 1
            });
            symbol_cells.push(SymbolCells::register(thread_ref, origin, signals));
        }
        let signals = spellings.into_iter().map(|symbol| {
            catalogue::CLASSES.map(|class| counter(thread_ref, &catalogue::TRADING_SIGNALS, &[symbol, class]))
        });
        let signals = signals.collect();
        let feed_count = symbols
            .iter()
            .map(|origin| usize::from(origin.feed) + 1)
            .max()
            .unwrap_or(0);
        let venue_of = |feed| {
            symbols
                .iter()
                .find(|origin| usize::from(origin.feed) == feed)
                .map(|origin| origin.venue)
        };
        let venue_of_feed: Vec<usize> = (0..feed_count)
            .map(|feed| venue_of(feed).map_or(0, venue_index))
            .collect();
        let venues = VenueId::ALL.iter().enumerate().map(|(index, venue)| {
            let feeds = venue_of_feed.iter().filter(|&&other| other == index).count();
            VenueCells::register(thread_ref, *venue, feeds as i64)
        });
        let venues = venues.collect();
        let features = FeatureGroup::ALL.iter().map(|group| {
            (
                counter(thread_ref, &catalogue::FEATURES_COMPUTED, &[group.name()]),
                feature_count(*group, |_| true),
            )
        });
        let features = features.collect();
        Self {
            loops: counter(thread_ref, &catalogue::HOT_LOOP_ITERATIONS, &[]),
            busy_loops: counter(thread_ref, &catalogue::HOT_LOOP_BUSY_ITERATIONS, &[]),
            symbols: symbol_cells,
            signals,
            venues,
            venue_of_feed,
            models: Vec::with_capacity(MODEL_NAMES_MAX),
            model_failures: counter(thread_ref, &catalogue::SIGNALS_SUPPRESSED, &["model_failed"]),
            published: counter(thread_ref, &catalogue::SIGNALS_PUBLISHED, &[]),
            features,
            feature_latency: histogram(thread_ref, &catalogue::FEATURE_LATENCY, &[]),
            stages: catalogue::STAGES.map(|stage| histogram(thread_ref, &catalogue::STAGE_LATENCY, &[stage])),
            recorder,
            thread,
        }
    }

    /// Takes over the cells of a model, which must be the next one.
    pub(super) fn add_model(&mut self, place: usize, cells: ModelCells) {
        debug_assert!(place == self.models.len() && place < MODEL_NAMES_MAX);
        self.models.push(cells);
    }

    /// A row has these features only, not all that there are.
    pub(super) fn count_features(&mut self, is_computed: impl Fn(Feature) -> bool) {
        for (group, (_, values)) in FeatureGroup::ALL.into_iter().zip(&mut self.features) {
            *values = feature_count(group, &is_computed);
        }
    }

    /// A round of the loop begins.
    #[inline]
    pub fn loop_begin(&mut self) {
        self.thread.loop_begin();
        self.loops.inc();
    }

    /// What the thread turns to.
    #[inline]
    pub(super) fn at(&self, place: Place) {
        self.thread.breadcrumb(place as u32);
    }

    /// It ends; `busy` if it found something to do.
    #[inline]
    pub fn loop_end(&mut self, busy: bool) {
        self.busy_loops.add(u64::from(busy));
        self.thread.loop_end();
    }

    /// Says which thread and processor this is. Call it on the hot thread, once it is where it should be.
    pub(super) fn adopt_current_thread(&self) {
        self.thread.adopt_current_thread();
    }

    /// A poll of a feed brought this.
    #[inline]
    pub(super) fn polled(&self, feed: usize, progress: &Progress) {
        let venue = &self.venues[self.venue_of_feed[feed]];
        venue.messages.add(progress.frames);
        venue.bytes.add(progress.bytes);
        if progress.frames > 0 {
            venue.last_message.set(progress.last_read.0);
        }
    }

    /// A feed has one connection more, and `lines` now; `is_again` where that line had lost one.
    pub(super) fn connected(&mut self, feed: usize, lines: usize, is_again: bool) {
        let venue = &mut self.venues[self.venue_of_feed[feed]];
        venue.connections.add(1);
        venue.reconnections.add(u64::from(is_again));
        if lines == 1 {
            venue.connected += 1;
            venue.health.set(i64::from(venue.connected >= venue.feeds));
        }
    }

    /// A feed has one connection less, and `lines` now.
    pub(super) fn disconnected(&mut self, feed: usize, lines: usize, lost: &Lost) {
        let venue = &mut self.venues[self.venue_of_feed[feed]];
        venue.connections.add(-1);
        if lines == 0 {
            venue.connected -= 1;
            venue.health.set(0);
            venue.subscriptions.set(0);
        }
        match lost {
            Lost::Succeeded => venue.successions.inc(),
            lost => venue.error(lost.reason()),
        }
    }

    /// A connection could not be taken over.
    pub(super) fn connection_failed(&self, feed: usize, reason: &str) {
        self.venues[self.venue_of_feed[feed]].error(reason);
    }

    /// A book moved.
    #[inline]
    pub(super) fn book(&mut self, place: usize, update: &BookUpdate<'_>) {
        let cells = &mut self.symbols[place];
        cells.updates.inc();
        cells.snapshots.add(u64::from(update.is_snapshot));
        if cells.scale != update.instrument.scale {
            cells.scale = update.instrument.scale;
            cells.price_unit = 10f64.powi(i32::from(cells.scale.price));
        }
        if let (Some(bid), Some(ask)) = (update.book.best(Side::Bid), update.book.best(Side::Ask)) {
            cells.best_bid.set(bid.price.0 as f64 / cells.price_unit);
            cells.best_ask.set(ask.price.0 as f64 / cells.price_unit);
            cells.spread.set((ask.price.0 - bid.price.0) as f64 / cells.price_unit);
        }
        cells.levels[0].set(update.book.level_count(Side::Bid) as i64);
        cells.levels[1].set(update.book.level_count(Side::Ask) as i64);
        cells.quality.set(update.quality as u8);
    }

    /// A row was computed.
    #[inline]
    pub(super) fn row(&self, place: usize, beyond_horizon: bool) {
        self.symbols[place].rows_beyond_horizon.add(u64::from(beyond_horizon));
    }

    /// For how much longer than the fastest a message of this feed was on its way.
    #[inline]
    pub(super) fn lag(&self, feed: usize, delay_ns: u64) {
        self.venues[self.venue_of_feed[feed]].lag.set(delay_ns as i64);
    }

    /// How the clock of a feed's venue runs against ours.
    pub(super) fn clock(&self, feed: usize, clock: &ClockOffset, now: UnixNanos) {
        let venue = &self.venues[self.venue_of_feed[feed]];
        if let Some(offset_ns) = clock.offset_ns(now) {
            venue.clock_offset.set(offset_ns);
            venue.clock_drift.set(clock.drift_ppb());
            venue.clock_steps.set_total(clock.steps());
        }
    }

    #[inline]
    pub(super) fn trade(&self, place: usize) {
        self.symbols[place].trades.inc();
    }

    #[inline]
    pub(super) fn top(&self, place: usize, agrees: Option<bool>) {
        let cells = &self.symbols[place];
        match agrees {
            Some(true) => cells.top_agreements.inc(),
            Some(false) => cells.top_disagreements.inc(),
            None => {}
        }
    }

    /// The champion's prediction left.
    #[inline]
    pub(super) fn prediction(&self, place: usize, cells: usize, prediction: &Prediction<'_>) {
        self.models[cells].predicted(&prediction.model);
        self.signals[self.symbols[place].signals][prediction.signal as usize].inc();
        self.published.inc();
    }

    /// A shadow predicted.
    #[inline]
    pub(super) fn shadow(&self, cells: usize, prediction: &model::Prediction, latency_ns: u64) {
        self.models[cells].predicted(prediction);
        self.models[cells].latency.record(latency_ns);
    }

    /// A model could not predict from the book at this id.
    #[cold]
    pub(super) fn model_failed(&mut self, cells: usize, at: UnixNanos, update_id: u64) {
        let model = &mut self.models[cells];
        model.failures.inc();
        model.failures_total += 1;
        self.recorder
            .model_failed(model.subject, model.failures_total, at, update_id);
    }

    /// Every instrument predicts with other models now.
    #[cold]
    pub(super) fn swapped(&self, cells: usize, at: UnixNanos, duration_ns: u64, generation: u16) {
        let subject = self.models[cells].subject;
        self.recorder.model_swapped(subject, at, duration_ns, generation);
    }

    /// There is no signal because the champion failed.
    #[cold]
    pub(super) fn suppressed(&self) {
        self.model_failures.inc();
    }

    /// Counts what a session reported. `base` is where the feed's instruments begin.
    pub(super) fn event(&mut self, base: usize, feed: usize, event: FeedEvent) {
        let at = |symbol: SymbolId| base + symbol.index();
        let venue = &mut self.venues[self.venue_of_feed[feed]];
        match event {
            FeedEvent::ChecksumVerified { symbol } => self.symbols[at(symbol)].checksums.inc(),
            FeedEvent::ResyncStarted { symbol, reason } => {
                let cells = &self.symbols[at(symbol)];
                cells.quality.set(Quality::Resyncing as u8);
                cells.best_bid.set_unknown();
                cells.best_ask.set_unknown();
                cells.spread.set_unknown();
                match reason {
                    ResyncReason::SequenceGap { .. } => cells.gaps.inc(),
                    ResyncReason::ChecksumMismatch { .. } => cells.checksum_failures.inc(),
                    ResyncReason::Crossed => cells.crossed.inc(),
                    // Counted where the venue's word is compared: on_top.
                    ResyncReason::TopDisagrees { .. } => {}
                    // Counted as what it is: CheckpointDiffers.
                    ResyncReason::CheckpointDiffers { .. } => {}
                    ResyncReason::Start
                    | ResyncReason::Malformed
                    | ResyncReason::Silent
                    | ResyncReason::Disconnected => {}
                }
                if reason != ResyncReason::Start {
                    cells.resyncs.inc();
                }
            }
            FeedEvent::BookStale { symbol, .. } => {
                self.symbols[at(symbol)].quality.set(Quality::Stale as u8);
                venue.error("book_stale");
            }
            FeedEvent::Repeated { line, .. } => venue.repeats[line.index()].inc(),
            FeedEvent::CheckpointMatched { symbol, quality, .. } => {
                let cells = &self.symbols[at(symbol)];
                cells.checkpoints[checkpoint::MATCH].inc();
                cells.quality.set(quality as u8); // a stale book may have turned out to be quiet
            }
            FeedEvent::CheckpointDiffers { symbol, .. } => {
                self.symbols[at(symbol)].checkpoints[checkpoint::MISMATCH].inc();
            }
            FeedEvent::CheckpointMissed { symbol, .. } => {
                self.symbols[at(symbol)].checkpoints[checkpoint::MISSED].inc();
            }
            FeedEvent::ChecksumDead => venue.error("checksum_dead"),
            FeedEvent::FrameRejected { reason } => venue.rejected[rejection(reason)].inc(),
            FeedEvent::Subscribed { .. } => venue.subscriptions.add(1),
            FeedEvent::SubscriptionRefused { .. } => venue.error("subscription_refused"),
            FeedEvent::SubscriptionMute { .. } => venue.error("subscription_mute"),
            FeedEvent::SnapshotRejected { .. } => venue.error("snapshot_rejected"),
            FeedEvent::BacklogOverflow { .. } => venue.error("backlog_overflow"),
            _ => {}
        }
    }

    /// The stages of a message that ended with the features: the model is still warming up.
    #[inline]
    pub(super) fn stages_to_features(&self, time: &TimeBase, stamps: &Stamps, started: Ticks, featured: Ticks) {
        let span = |from: Ticks, to: Ticks| time.nanos(to.since(from));
        if let Some(kernel) = stamps.kernel {
            self.stages[stage::KERNEL].record(stamps.receive_time.since(kernel).max(0) as u64);
        }
        self.stages[stage::READ].record(span(stamps.read_started, stamps.read));
        self.stages[stage::DECRYPT].record(span(stamps.read, stamps.decrypted));
        self.stages[stage::FRAME].record(span(stamps.frame_started, stamps.framed));
        self.stages[stage::PARSE].record(span(stamps.framed, stamps.parsed));
        self.stages[stage::BOOK].record(span(stamps.parsed, stamps.booked));
        let features_ns = span(started, featured);
        self.stages[stage::FEATURES].record(features_ns);
        self.feature_latency.record(features_ns);
        for (count, values) in &self.features {
            count.add(*values);
        }
    }

    /// The stages of a message that became a signal. The total begins where the kernel took the bytes, or, where it does
    /// not say, where the read returned.
    #[inline]
    pub(super) fn stages(&self, time: &TimeBase, stamps: &Stamps, after_book: [Ticks; 4], cells: usize) {
        let [started, featured, predicted, published] = after_book;
        self.stages_to_features(time, stamps, started, featured);
        let model_ns = time.nanos(predicted.since(featured));
        self.stages[stage::MODEL].record(model_ns);
        self.models[cells].latency.record(model_ns);
        self.stages[stage::PUBLISH].record(time.nanos(published.since(predicted)));
        let waited = stamps
            .kernel
            .map_or(0, |kernel| stamps.receive_time.since(kernel).max(0) as u64);
        self.stages[stage::TOTAL].record(waited + time.nanos(published.since(stamps.read)));
    }
}

fn feature_count(group: FeatureGroup, is_computed: impl Fn(Feature) -> bool) -> u64 {
    let of_group = FEATURES.iter().filter(|def| def.group == group);
    of_group.filter(|def| is_computed(def.feature)).count() as u64
}

fn venue_index(venue: VenueId) -> usize {
    VenueId::ALL.iter().position(|other| *other == venue).unwrap_or(0)
}
