//! A session alone, on a schedule: a call begins when its message is there and the thread is free, and lasts as long as it
//! really lasted.
//!
//! A round is the same calls several times over, and the least of what each took counts: what the session does is in all
//! of them, what the host did to one of them is not in the others.
//!
//! The snapshots of a pass are read before it, and dropped after it: a real hot thread has others for that, whose caches
//! are not its own. Which they are is found by a first pass that is not measured.

use std::error::Error;
use std::time::Instant;

use quantumflow_benches::session::CountingSink;
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::venue::{BookReader, Outbox, RestSnapshot, Session, SessionConfig};
use quantumflow_feeds::{Stamps, SymbolId, UnixNanos, VenueId};

use crate::Args;
use crate::load::{Load, TroubledBook};
use crate::report::Round;

pub(crate) fn round(args: &Args, load: &Load, is_troubled: bool) -> Result<Round, Box<dyn Error>> {
    let mut round = Round::default();
    let mut bodies = Vec::new();
    let mut calls = pass(
        args,
        load,
        is_troubled,
        Snapshots::found(load, &mut bodies),
        &mut round.resyncs,
    )?;
    for call in &mut calls {
        call.took_ns = u64::MAX;
    }
    for _ in 0..args.passes.max(1) {
        round.resyncs = 0;
        let snapshots = Snapshots::prepared(&bodies);
        for (call, again) in calls
            .iter_mut()
            .zip(pass(args, load, is_troubled, snapshots, &mut round.resyncs)?)
        {
            call.took_ns = call.took_ns.min(again.took_ns);
        }
    }
    assert_eq!(round.resyncs > 0, is_troubled, "the trouble is where it belongs");
    let mut free_ns = 0;
    for call in calls {
        free_ns = free_ns.max(call.at_ns) + call.took_ns;
        match call.subject {
            Subject::Healthy if call.at_ns > START_NS + WARM_UP_NS => {
                round.healthy.saturating_record(free_ns - call.at_ns);
            }
            Subject::Snapshot => round.snapshots.saturating_record(call.took_ns),
            Subject::Healthy | Subject::Troubled => {}
        }
    }
    Ok(round)
}

/// Something that the thread did.
struct Call {
    /// When it was wanted.
    at_ns: u64,
    took_ns: u64,
    subject: Subject,
}

#[derive(Clone, Copy)]
enum Subject {
    /// A message of a healthy symbol.
    Healthy,
    /// A message of the troubled one.
    Troubled,
    /// A REST snapshot of the troubled one.
    Snapshot,
}

/// All calls of a round, in their order. The session's time is the schedule's, so that they are the same each time.
fn pass(
    args: &Args,
    load: &Load,
    is_troubled: bool,
    mut snapshots: Snapshots<'_>,
    resyncs: &mut u64,
) -> Result<Vec<Call>, Box<dyn Error>> {
    let mut config = SessionConfig::new(VenueId::BinanceSpot, load.names.iter().cloned());
    config.depth = args.depth;
    config.rest_weight_per_minute = args.weight.unwrap_or(config.rest_weight_per_minute);
    let mut line = Line {
        session: Session::new(&config)?,
        sink: CountingSink::default(),
        out: Outbox::new(),
        spent: Vec::new(),
        calls: Vec::with_capacity(2 * load.arrivals.len()),
    };
    line.session.on_open(UnixNanos(1), &mut line.sink, &mut line.out);
    for symbol in 0..load.names.len() {
        line.snapshot(1, SymbolId(symbol as u16), snapshots.next(|_| load.first_snapshot()));
    }
    line.calls.clear();

    let mut said = 0;
    let mut reply = None;
    for arrival in &load.arrivals {
        let at_ns = START_NS + arrival.at_ns;
        if let Some(reply_ns) = reply.filter(|reply_ns| *reply_ns <= at_ns) {
            reply = None;
            let snapshot = snapshots.next(|book| {
                book.catch_up(&load.troubled[..said]);
                book.snapshot()
            });
            line.snapshot(reply_ns, SymbolId(0), snapshot);
        }
        if arrival.symbol == 0 {
            said = arrival.place + 1;
            let was_shown = line.session.book(SymbolId(0)).is_some();
            if !(is_troubled && load.is_lost(arrival)) {
                line.frame(at_ns, Subject::Troubled, &arrival.frame);
            }
            *resyncs += u64::from(was_shown && line.session.book(SymbolId(0)).is_none());
        } else {
            let books = line.sink.books;
            line.frame(at_ns, Subject::Healthy, &arrival.frame);
            assert_eq!(
                line.sink.books,
                books + 1,
                "a healthy symbol's book moves with each message"
            );
        }
        for request in line.out.snapshot_requests() {
            reply = Some(request.not_before.0.max(at_ns) + REST_NS);
        }
        line.out.clear();
    }
    Ok(line.calls)
}

/// Where a pass has its snapshots from.
enum Snapshots<'a> {
    /// The venue's book, and where the bodies are noted.
    Found(TroubledBook, &'a mut Vec<String>),
    /// They were read before.
    Prepared(std::vec::IntoIter<RestSnapshot>),
}

impl<'a> Snapshots<'a> {
    fn found(load: &Load, bodies: &'a mut Vec<String>) -> Self {
        Self::Found(load.book(), bodies)
    }

    fn prepared(bodies: &[String]) -> Self {
        let snapshots: Vec<RestSnapshot> = bodies.iter().map(|body| read(body)).collect();
        Self::Prepared(snapshots.into_iter())
    }

    fn next(&mut self, body: impl FnOnce(&mut TroubledBook) -> String) -> RestSnapshot {
        match self {
            Self::Found(book, bodies) => {
                let body = body(book);
                let snapshot = read(&body);
                bodies.push(body);
                snapshot
            }
            Self::Prepared(snapshots) => snapshots.next().expect("all passes have the same calls"),
        }
    }
}

fn read(body: &str) -> RestSnapshot {
    BookReader::new(VenueId::BinanceSpot).snapshot(body.into())
}

/// A session, and what its calls took.
struct Line {
    session: Session,
    sink: CountingSink,
    out: Outbox,
    spent: Vec<RestSnapshot>,
    calls: Vec<Call>,
}

impl Line {
    fn call(
        &mut self,
        at_ns: u64,
        subject: Subject,
        work: impl FnOnce(&mut Session, &mut Stamps, &mut CountingSink, &mut Outbox),
    ) {
        let mut stamps = Stamps {
            receive_time: UnixNanos(at_ns),
            ..Stamps::default()
        };
        let started = Instant::now();
        work(&mut self.session, &mut stamps, &mut self.sink, &mut self.out);
        let took_ns = started.elapsed().as_nanos() as u64;
        self.calls.push(Call {
            at_ns,
            took_ns,
            subject,
        });
    }

    fn snapshot(&mut self, at_ns: u64, symbol: SymbolId, mut snapshot: RestSnapshot) {
        let book = snapshot.book.as_mut().map_err(|fault| *fault);
        self.call(at_ns, Subject::Snapshot, |session, stamps, sink, out| {
            session.on_rest_book(symbol, book, stamps, NoClock, sink, out);
        });
        self.spent.push(snapshot);
    }

    fn frame(&mut self, at_ns: u64, subject: Subject, frame: &str) {
        self.call(at_ns, subject, |session, stamps, sink, out| {
            session.on_frame(frame.as_bytes(), stamps, NoClock, sink, out);
        });
    }
}

/// The start of a round, by the session's clock.
const START_NS: u64 = 1_000_000_000;
/// Of each round, not measured.
const WARM_UP_NS: u64 = 1_000_000_000;
/// From a REST request to its answer.
const REST_NS: u64 = 50_000_000;
