//! The hot thread allocates nothing once it is warm: TLS, WebSocket, books, features, models, metrics and signals included,
//! and the change to other models on the way.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

mod model_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use model_support::{Graph, contract};
use quantumflow::cold::{Breakers, Models, SnapshotFetcher, SnapshotSource};
use quantumflow::config::ModelSource;
use quantumflow::hot::{
    ColdSide, FeedLine, FeedSlot, HotMetrics, Mailbox, MailboxSizes, PredictSink, RingOutput, Shard, SymbolOrigin,
};
use quantumflow::model::{self, Model, ModelSet};
use quantumflow::os::TimeBase;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::feed::{Feed, LinePlan};
use quantumflow_feeds::net::{
    DialOptions, Endpoint, IdleStrategy, Poller, RestClient, RestOptions, TlsClientConfig, TlsRoots, dial,
};
use quantumflow_feeds::sim::{LoadShape, SimConfig, SimHandle, SimSource, SimTls, Simulator};
use quantumflow_feeds::venue::{Session, SessionConfig};
use quantumflow_feeds::ws::MaskSource;
use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, RingOptions, SignalWriter, catalogue};

/// What a closure allocates and frees on this thread.
fn counted(work: impl FnOnce()) -> u64 {
    let info = measure(work);
    info.count_total + info.count_total.saturating_add_signed(-info.count_current)
}

const WARM_UP_MESSAGES: f64 = 20_000.0;
const MESSAGES: f64 = 100_000.0;

#[test]
#[ignore = "takes minutes: scripts/test full"]
fn nothing_is_allocated_over_a_million_messages_with_tls() {
    judge(VenueId::BinanceSpot, 1_000_000.0);
}

#[test]
fn nothing_is_allocated_over_a_hundred_thousand_messages_with_tls() {
    // Coinbase Exchange gathers its books for 50 ms: at this load a batch has thousands of levels, the warm-up sees four of
    // them, and buffers still grow. That it allocates nothing on a recording is `venue_allocations` in `feeds`.
    for venue in VenueId::ALL
        .into_iter()
        .filter(|venue| *venue != VenueId::CoinbaseExchange)
    {
        judge(venue, MESSAGES);
    }
}

/// Half of the messages with the built-in model; then all features, for a linear one, with the other as its shadow.
fn judge(venue: VenueId, messages: f64) {
    let builtin = model::load_source(&ModelSource::Builtin("mlp_v1".to_owned())).unwrap();
    let linear = Model::from_bytes(&Graph::linear().file(Some(&contract()))).unwrap();
    let next = ModelSet {
        champion: linear,
        shadows: vec![Arc::clone(&builtin)],
    };
    let counted = run(venue, &builtin, &next, messages);
    println!("{venue}: {counted:?}");
    let Counted {
        predictions,
        of_shadow,
        allocations,
        ..
    } = counted;
    assert!(
        predictions > 1_000 && of_shadow > 100,
        "too few predictions to mean something"
    );
    assert_eq!(allocations, 0, "{venue}");
}

/// What the measured part brought.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
struct Counted {
    messages: u64,
    predictions: u64,
    of_shadow: u64,
    allocations: u64,
}

fn run(venue: VenueId, model: &Arc<Model>, next: &ModelSet, messages: f64) -> Counted {
    let sim = simulator(venue);
    let Hot {
        mut shard,
        mut reader,
        fetcher,
        mut models,
        cold,
        _region,
    } = hot(venue, &sim, model);
    let stop = Arc::new(AtomicBool::new(false));
    let stop_fetcher = Arc::clone(&stop);
    let fetcher = thread::spawn(move || fetcher.run(&stop_fetcher));

    let mut totals = || {
        let snapshot = reader.snapshot().unwrap();
        let total = |metric: &quantumflow_region::Metric| -> f64 {
            snapshot
                .family(metric.name)
                .filter_map(|series| series.value.as_f64())
                .sum()
        };
        assert_eq!(total(&catalogue::BOOK_RESYNCS), 0.0, "a resync would be measured, too");
        (
            total(&catalogue::FEED_MESSAGES),
            total(&catalogue::SIGNALS_PUBLISHED),
            total(&catalogue::PREDICTIONS),
        )
    };
    // The reader allocates on this thread, but between the counted stretches.
    let deadline = Instant::now() + Duration::from_secs(600);
    let mut turn_until = |messages: f64| {
        let mut allocations = 0;
        loop {
            let (got, signals, predictions) = totals();
            if got >= messages {
                return (got, signals, predictions - signals, allocations);
            }
            assert!(
                Instant::now() < deadline,
                "only {got} of {messages} messages in ten minutes"
            );
            allocations += counted(|| (0..2_000).for_each(|_| shard.turn().unwrap()));
        }
    };
    let (warm, signals_before, _, _) = turn_until(WARM_UP_MESSAGES);
    let (_, _, of_shadow, allocations) = turn_until(warm + messages / 2.0);
    assert_eq!(of_shadow, 0.0, "there was none yet");
    // Made and freed on this thread, which is a cold one between the counted stretches.
    let lineup = models.lineup(next, 0.5).unwrap();
    cold.deliver_lineup(Box::new(lineup)).unwrap();
    let (got, signals, of_shadow, allocations_after) = turn_until(warm + messages);
    let spent = cold.take_spent_lineup().expect("every instrument has changed over");
    assert_eq!(spent.waiting(), 0);
    stop.store(true, Ordering::Relaxed);
    fetcher.join().unwrap();
    Counted {
        messages: (got - warm) as u64,
        predictions: (signals - signals_before) as u64,
        of_shadow: of_shadow as u64,
        allocations: allocations + allocations_after,
    }
}

fn simulator(venue: VenueId) -> SimHandle {
    let mut config = SimConfig::market(venue, symbols(venue), 5);
    let SimSource::Market { load, .. } = &mut config.source else {
        unreachable!("a market was asked for")
    };
    *load = LoadShape::Steady { rate: 20_000.0 };
    config.tls = SimTls::Own;
    config.depth_interval_ms = Some(0);
    Simulator::start(config).unwrap()
}

fn symbols(venue: VenueId) -> &'static [&'static str] {
    &venue.facts().symbols
}

struct Hot {
    shard: Shard<RingOutput, ()>,
    reader: RegionReader,
    fetcher: SnapshotFetcher,
    models: Models,
    cold: ColdSide,
    _region: RegionWriter,
}

/// A hot thread's state around a connection that is ready, as the wiring makes it, but to be turned by hand.
fn hot(venue: VenueId, sim: &SimHandle, model: &Arc<Model>) -> Hot {
    let pem = sim.authority_pem().unwrap().as_bytes().to_vec();
    let session = Session::new(&SessionConfig::new(venue, symbols(venue).iter().copied())).unwrap();
    let origin = |symbol: &&str| SymbolOrigin {
        feed: 0,
        venue,
        symbol: (*symbol).to_owned(),
    };
    let origins: Vec<_> = symbols(venue).iter().map(origin).collect();
    let endpoint: Endpoint = format!("{}{}", sim.ws_url(), session.websocket_path()).parse().unwrap();
    let options = DialOptions {
        tls: Some(TlsClientConfig::new(TlsRoots::Pem(&pem)).unwrap()),
        ..DialOptions::default()
    };
    let connection = dial(&endpoint, &options, MaskSource::from_os().unwrap()).unwrap();
    let paths = session
        .instruments()
        .iter()
        .filter_map(|instrument| session.rest_path(instrument.id));
    let urls = paths.map(|path| format!("{}{path}", sim.rest_url())).collect();
    let client = RestClient::new(&RestOptions {
        roots_pem: Some(pem),
        ..RestOptions::default()
    })
    .unwrap();

    let mut options = RegionOptions::new("test", 1);
    options.bytes = 8 << 20;
    let region = RegionWriter::private(&options).unwrap();
    let mut models = Models::new(&region, origins.len());
    let lineup = models.lineup(&ModelSet::from(Arc::clone(model)), 0.5).unwrap();
    let metrics = HotMetrics::register(region.writer("hot-0").unwrap(), &origins);
    let ring = SignalWriter::private(&RingOptions::new("test", 1)).unwrap();
    let output = RingOutput::new(ring, &origins);
    let (mailbox, cold) = Mailbox::new(MailboxSizes {
        feeds: 1,
        symbols: origins.len(),
        events: 4096,
    });
    cold.deliver_connection(FeedLine::at_slot(0), Box::new(connection))
        .expect("the queue is empty");
    let time = TimeBase::calibrate(Duration::from_millis(20));
    let sink = PredictSink::new(&origins, Some(lineup), output, metrics, mailbox, time);
    let poller = Poller::new(FeedLine::slots(1), IdleStrategy::Spin).unwrap();
    let shard = Shard::new(
        vec![FeedSlot::new(Feed::new(session, LinePlan::SINGLE), ())],
        poller,
        sink,
    );
    let reader = RegionReader::of(&region).unwrap();
    let fetcher = SnapshotFetcher::new(
        vec![SnapshotSource { venue, client, urls }],
        cold.clone(),
        Breakers::new([venue]),
    );
    Hot {
        shard,
        reader,
        fetcher,
        models,
        cold,
        _region: region,
    }
}
