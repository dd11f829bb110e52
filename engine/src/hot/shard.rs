//! The loop of the hot thread, and the closed list of what can happen in it.
//!
//! One round: take over what the cold threads made ready, ask the poller, work off every readable feed, let time pass
//! now and then. A bounded amount of work each; the idle strategy decides whether to rest.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quantumflow_feeds::feed::{Feed, LineSlot, LineStep, Lost, Tap};
use quantumflow_feeds::net::{Connection, Poller};
use quantumflow_feeds::venue::SnapshotRequest;
use quantumflow_feeds::ws::close_code;
use quantumflow_feeds::{Clock, Line, Ticks, UnixNanos};

use super::mailbox::{FeedLine, HotNews, LineOrder, SnapshotOrder};
use super::metrics::Place;
use super::predict::{Output, PredictSink};
use crate::os::TscClock;

/// How often time passes for sessions, and the counter is anchored to the wall clock.
const TICK_EVERY: Duration = Duration::from_millis(10);

/// Work of one round that is worth a note. A round reads at most one buffer of each feed: microseconds, unless the host
/// takes the processor away.
const SLOW_ROUND: Duration = Duration::from_millis(1);
/// One note for the slowest round of so long, or a busy host would fill the recorder with nothing else.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Some feeds with one thread to themselves.
pub struct Shard<O, T> {
    feeds: Vec<FeedSlot<T>>,
    poller: Poller,
    sink: PredictSink<O>,
    clock: TscClock,
    next_tick: Ticks,
    tick_ticks: u64,
    slowest: Slowest,
}

/// The slowest round since the last note.
#[derive(Default)]
struct Slowest {
    ticks: u64,
    messages: u64,
    at: Ticks,
    next_note: Ticks,
}

/// One feed of a shard.
pub struct FeedSlot<T> {
    /// The session and its connection.
    pub feed: Feed,
    /// What goes into the capture.
    pub tap: T,
    /// By line: wanted, and the order for a connection could not be given yet.
    must_order: [bool; 2],
    /// By line: it has lost a connection.
    was_lost: [bool; 2],
}

impl<T> FeedSlot<T> {
    /// A feed that waits for its first connection, which the dialler makes without being asked.
    pub fn new(feed: Feed, tap: T) -> Self {
        Self {
            feed,
            tap,
            must_order: [false; 2],
            was_lost: [false; 2],
        }
    }
}

impl<O: Output, T: Tap> Shard<O, T> {
    /// A shard that is ready to run. `poller` has a slot for each line of each feed: [`FeedLine::slots`].
    pub fn new(feeds: Vec<FeedSlot<T>>, poller: Poller, sink: PredictSink<O>) -> Self {
        let tick_ticks = sink.time.ticks_in(TICK_EVERY);
        Self {
            feeds,
            poller,
            sink,
            clock: TscClock,
            next_tick: TscClock.ticks(),
            tick_ticks,
            slowest: Slowest::default(),
        }
    }

    /// Runs until `stop` is set. Call it on the thread that is to be hot.
    ///
    /// # Errors
    /// The kernel refuses to be polled: there is nothing left to do.
    pub fn run(&mut self, stop: &AtomicBool) -> io::Result<()> {
        self.sink.metrics.adopt_current_thread();
        let mut outcome = Ok(());
        while outcome.is_ok() && !stop.load(Ordering::Relaxed) {
            outcome = self.turn();
        }
        let now = self.now();
        for index in 0..self.feeds.len() {
            self.sink.select(index);
            let slot = &mut self.feeds[index];
            for line in Line::ALL {
                if let Some(mut connection) = slot.feed.detach(line, now, &mut slot.tap, &mut self.sink) {
                    connection.close(close_code::NORMAL, "");
                    let _ = connection.flush();
                }
            }
            slot.tap.flush();
        }
        outcome
    }

    /// One round of the loop.
    #[inline]
    pub fn turn(&mut self) -> io::Result<()> {
        self.sink.metrics.loop_begin();
        let mut busy = self.take_connection();
        busy |= self.take_snapshot();
        let mut messages = 0;
        self.sink.metrics.at(Place::Poll);
        if self.poller.poll()?.ready > 0 {
            let started = self.clock.ticks();
            self.sink.metrics.at(Place::Read);
            for slot in 0..self.poller.slots() {
                if self.poller.is_readable(slot) {
                    busy = true;
                    messages += self.read(FeedLine::at_slot(slot));
                }
                if self.poller.take_writable(slot) {
                    self.settle(usize::from(FeedLine::at_slot(slot).feed));
                }
            }
            let ticks = self.clock.ticks().since(started);
            if ticks > self.slowest.ticks {
                (self.slowest.ticks, self.slowest.messages, self.slowest.at) = (ticks, messages, started);
            }
        }
        if self.clock.ticks() >= self.next_tick {
            self.sink.metrics.at(Place::Timer);
            self.tick();
        }
        self.sink.metrics.at(Place::Rest);
        self.sink.metrics.loop_end(busy);
        Ok(())
    }

    /// What took the predictions, for callers that collect them.
    pub fn into_output(self) -> O {
        self.sink.into_output()
    }

    /// Works off a readable line; how many messages that was.
    #[inline]
    fn read(&mut self, at: FeedLine) -> u64 {
        let index = usize::from(at.feed);
        let slot = &mut self.feeds[index];
        self.sink.select(index);
        let time = self.sink.time;
        let wall = |ticks| time.at(ticks);
        let polled = slot.feed.poll(
            LineSlot {
                line: at.line,
                slot: at.slot(),
            },
            &mut self.poller,
            self.clock,
            wall,
            &mut slot.tap,
            &mut self.sink,
        );
        let (Ok(progress) | Err((progress, _))) = &polled;
        let messages = progress.frames;
        self.sink.metrics.polled(index, progress);
        match polled {
            Ok(_) => self.settle(index),
            Err((_, lost)) => self.lose(at, &lost),
        }
        messages
    }

    /// Time passes: 100 times a second.
    fn tick(&mut self) {
        self.next_tick = Ticks(self.clock.ticks().0.wrapping_add(self.tick_ticks));
        self.sink.time.anchor();
        self.note_slowest();
        let now = self.now();
        self.take_checkpoint(now);
        self.sink.take_lineup();
        for index in 0..self.feeds.len() {
            self.sink.select(index);
            let slot = &mut self.feeds[index];
            slot.tap.flush();
            slot.feed.tick(now, &mut self.sink);
            self.sink.tell_clock(now);
            for line in Line::ALL {
                if self.feeds[index].must_order[line.index()] {
                    self.dial(FeedLine::of(index, line));
                }
            }
            self.settle(index);
            self.take_step(index, now);
        }
    }

    /// A line that needs a successor gets one, and one that has it goes.
    fn take_step(&mut self, index: usize, now: UnixNanos) {
        match self.feeds[index].feed.next_step(now) {
            Some(LineStep::Dial(line)) => self.dial(FeedLine::of(index, line)),
            Some(LineStep::GiveUp(line)) => {
                self.sink.mailbox().book_shown(index as u16); // the successor is of use
                self.lose(FeedLine::of(index, line), &Lost::Succeeded);
            }
            None => {}
        }
    }

    fn note_slowest(&mut self) {
        let time = &self.sink.time;
        if self.next_tick < self.slowest.next_note {
            return;
        }
        let took_ns = time.nanos(self.slowest.ticks);
        if took_ns > SLOW_ROUND.as_nanos() as u64 {
            let recorder = &self.sink.metrics.recorder;
            recorder.slow_loop(time.at(self.slowest.at), took_ns, self.slowest.messages);
        }
        self.slowest = Slowest {
            next_note: Ticks(self.next_tick.0.wrapping_add(time.ticks_in(NOTE_EVERY))),
            ..Slowest::default()
        };
    }

    /// Sends and orders what the session wants.
    #[inline]
    fn settle(&mut self, index: usize) {
        let (time, clock) = (self.sink.time, self.clock);
        let now = || time.at(clock.ticks());
        let slot = &mut self.feeds[index];
        let mailbox = self.sink.mailbox();
        let order = |request: SnapshotRequest| {
            let SnapshotRequest {
                symbol,
                attempt,
                not_before,
                purpose,
            } = request;
            // What finds no place is asked for again when the session's own time-out has passed.
            let _ = mailbox.order_snapshot(SnapshotOrder {
                feed: index as u16,
                symbol,
                attempt,
                not_before,
                purpose,
            });
        };
        if let Err((line, lost)) = slot.feed.settle(now, &mut slot.tap, order) {
            self.lose(FeedLine::of(index, line), &lost);
        }
    }

    #[inline]
    fn take_connection(&mut self) -> bool {
        match self.sink.mailbox().take_connection() {
            Some((at, connection)) => {
                self.sink.metrics.at(Place::Connection);
                self.attach(at, connection);
                true
            }
            None => false,
        }
    }

    #[cold]
    fn attach(&mut self, at: FeedLine, mut connection: Box<Connection>) {
        let (index, now) = (usize::from(at.feed), self.now());
        let Some(slot) = self.feeds.get_mut(index) else { return };
        self.sink.select(index);
        if let Err(_refused) = self.poller.add(at.slot(), &mut connection) {
            self.sink.metrics.connection_failed(index, "io");
            return self.order(at, Some(connection), true);
        }
        slot.feed
            .attach(at.line, connection, now, &mut slot.tap, &mut self.sink);
        let is_again = std::mem::take(&mut slot.was_lost[at.line.index()]);
        self.sink.metrics.connected(index, slot.feed.line_count(), is_again);
        self.sink.report(HotNews::Connected { line: at.line });
        self.settle(index);
    }

    #[cold]
    fn lose(&mut self, at: FeedLine, lost: &Lost) {
        let (index, now) = (usize::from(at.feed), self.now());
        let slot = &mut self.feeds[index];
        self.sink.select(index);
        let Some(mut connection) = slot.feed.detach(at.line, now, &mut slot.tap, &mut self.sink) else {
            return;
        };
        // A peer that broke a rule is told which one; a mute one is told that we leave. It need not listen.
        connection.close(close_code::NORMAL, "");
        let _ = connection.flush();
        let _ = self.poller.remove(at.slot(), &mut connection);
        let is_wanted = slot.feed.is_wanted(at.line);
        slot.was_lost[at.line.index()] = !matches!(lost, Lost::Succeeded);
        self.sink.metrics.disconnected(index, slot.feed.line_count(), lost);
        self.sink.report(HotNews::Disconnected {
            line: at.line,
            reason: lost.reason(),
            is_wanted,
        });
        self.order(at, Some(connection), is_wanted);
    }

    fn dial(&mut self, at: FeedLine) {
        self.order(at, None, true);
    }

    fn order(&mut self, at: FeedLine, old: Option<Box<Connection>>, dial: bool) {
        let is_taken = self.sink.mailbox().order_line(LineOrder { at, old, dial });
        self.feeds[usize::from(at.feed)].must_order[at.line.index()] = dial && !is_taken;
    }

    #[inline]
    fn take_snapshot(&mut self) -> bool {
        let Some(mut reply) = self.sink.mailbox().take_snapshot() else {
            return false;
        };
        self.sink.metrics.at(Place::Snapshot);
        let (index, now) = (usize::from(reply.feed), self.now());
        self.sink.select(index);
        if let Some(slot) = self.feeds.get_mut(index) {
            let snapshot = reply.snapshot.as_deref_mut().map_err(|fault| *fault);
            slot.feed
                .snapshot(reply.symbol, snapshot, now, self.clock, &mut slot.tap, &mut self.sink);
            self.settle(index);
        }
        if let Ok(spent) = reply.snapshot {
            self.sink.mailbox().return_snapshot(spent);
        }
        true
    }

    /// One in a round of time is enough: they can wait, and each feed has one at most. What follows from it is settled
    /// with the rest of the round.
    fn take_checkpoint(&mut self, now: UnixNanos) {
        let Some(reply) = self.sink.mailbox().take_checkpoint() else {
            return;
        };
        let index = usize::from(reply.feed);
        self.sink.select(index);
        if let Some(slot) = self.feeds.get_mut(index) {
            let book = reply.book.as_ref().map_err(|fault| *fault);
            slot.feed.checkpoint(reply.symbol, book, now, &mut self.sink);
        }
    }

    fn now(&self) -> UnixNanos {
        self.sink.time.at(self.clock.ticks())
    }
}
