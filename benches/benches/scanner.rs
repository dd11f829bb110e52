//! What it costs to understand a message: frames of each venue's hot shapes to changes in fixed point, and the same
//! through the session that checks the chain of update ids and keeps the book.
//!
//! The scanner is most of the time between the read and the signal. Every signal is later by what it loses here, and at
//! 200 levels a side one nanosecond per level is 400 ns. `slow_road` is what a frame costs when a venue changes its
//! shape and the scanner steps aside: the number to know on such a morning.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantumflow_benches::depth::{self, Wire};
use quantumflow_benches::session;
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::LevelChange;
use quantumflow_feeds::venue::message::Print;
use quantumflow_feeds::venue::{Outbox, Wire as _, binance, bybit, coinbase, coinbase_exchange, kraken, okx};
use quantumflow_feeds::{Scale, Stamps, SymbolId};

fn binance_parser() -> binance::Parser {
    let mut parser = binance::Parser::new(["BTCUSDT"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 2, qty: 8 }));
    parser
}

fn payloads(levels: usize, wire: Wire) -> Vec<String> {
    depth::updates(levels, 20_000 / levels, 42)
        .iter()
        .map(|message| depth::json(message, wire))
        .collect()
}

fn binance_diff(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner/binance_diff");
    for levels in [1, 10, 50, 200] {
        for (name, wire) in [("futures", Wire::Futures), ("spot", Wire::Spot)] {
            let frames = payloads(levels, wire);
            group.throughput(Throughput::Bytes(frames.iter().map(|frame| frame.len() as u64).sum()));
            let mut parser = binance_parser();
            let mut changes: Vec<LevelChange> = Vec::with_capacity(1 << 12);
            let mut prints: Vec<Print> = Vec::with_capacity(64);
            group.bench_function(BenchmarkId::new(name, format!("L{levels}")), |bench| {
                bench.iter(|| {
                    for frame in &frames {
                        parser
                            .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                            .expect("the generator's shape");
                        black_box(&changes);
                    }
                })
            });
            group.bench_function(
                BenchmarkId::new(format!("{name}_slow_road"), format!("L{levels}")),
                |bench| {
                    bench.iter(|| {
                        for frame in &frames {
                            parser
                                .parse_slowly(black_box(frame.as_bytes()), &mut changes, &mut prints)
                                .expect("the generator's shape");
                            black_box(&changes);
                        }
                    })
                },
            );
        }
    }
    group.finish();
}

/// One frame at a time, as recorded.
fn small_frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner/frame");
    let mut parser = binance_parser();
    let mut changes = Vec::with_capacity(64);
    let mut prints: Vec<Print> = Vec::with_capacity(64);
    for (name, frame) in [
        (
            "binance_trade",
            r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#,
        ),
        (
            "binance_book_ticker",
            r#"{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#,
        ),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                parser
                    .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                    .expect("a known shape")
            })
        });
    }
    let mut parser = binance::UsdmParser::new(["BTCUSDT"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 2, qty: 3 }));
    for (name, frame) in [
        (
            "binance_usdm_diff_3",
            r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256352,"T":1723161256351,"s":"BTCUSDT","ps":"BTCUSDT","U":5123107837801,"u":5123107842679,"pu":5123107837557,"b":[["61800.20","2.507"],["61753.10","0.000"]],"a":[["61800.30","2.305"]],"st":1}}"#,
        ),
        (
            "binance_usdm_book_ticker",
            r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","ps":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256314,"st":1}}"#,
        ),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                parser
                    .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                    .expect("a known shape")
            })
        });
    }
    let mut parser = kraken::Parser::new(["BTC/USD"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 1, qty: 8 }));
    let frame = r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":64000.1,"qty":0.50000000},{"price":63999.5,"qty":0.00000000}],"asks":[{"price":64000.2,"qty":1.25000000}],"checksum":2114181697,"timestamp":"2026-05-27T14:51:03.120456Z"}]}"#;
    group.bench_function("kraken_update_3", |bench| {
        bench.iter(|| {
            parser
                .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                .expect("a known shape")
        })
    });
    let mut parser = bybit::Parser::new(["BTCUSDT"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 2, qty: 6 }));
    for (name, frame) in [
        (
            "bybit_linear_delta_3",
            r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1758845431663,"data":{"s":"BTCUSDT","b":[["109147.80","1.687"],["109144.10","0"]],"a":[["109148.00","0.027"]],"u":21111423,"seq":457538796406},"cts":1758845431662}"#,
        ),
        (
            "bybit_spot_delta_3",
            r#"{"topic":"orderbook.50.BTCUSDT","ts":1731035685345,"type":"delta","data":{"s":"BTCUSDT","b":[["75848.62","0.014895"],["75837.13","0"]],"a":[["75848.89","0.088149"]],"u":2876701,"seq":47474967823},"cts":1731035685342}"#,
        ),
        (
            "bybit_linear_trade",
            r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1774021164273,"data":[{"T":1774021164272,"s":"BTCUSDT","S":"Sell","v":"0.001","p":"69916.80","L":"MinusTick","i":"8c931d9a-b703-5c34-9aeb-860867cf1f66","BT":false,"RPI":false,"seq":549792210006}]}"#,
        ),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                parser
                    .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                    .expect("a known shape")
            })
        });
    }
    let mut parser = okx::Parser::new(["BTC-USDT"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 1, qty: 8 }));
    let frame = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["30243.5","1.2112","0","4"],["30247.5","0","0","0"],["30249.3","0.06523858","0","1"]],"bids":[["30237.2","0","0","0"],["30227","2.244","0","1"]],"ts":"1652459225453","checksum":0,"seqId":10000032,"prevSeqId":10000012}]}"#;
    group.bench_function("okx_update_5", |bench| {
        bench.iter(|| {
            parser
                .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                .expect("a known shape")
        })
    });
    let mut parser = coinbase::Parser::new(["BTC-USD"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 2, qty: 8 }));
    let frame = r#"{"channel":"l2_data","client_id":"","timestamp":"2026-05-27T14:51:03.120456789Z","sequence_num":471147,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-05-27T14:51:03.098765Z","price_level":"64000.10","new_quantity":"0.50000000"},{"side":"bid","event_time":"2026-05-27T14:51:03.098765Z","price_level":"63999.52","new_quantity":"0"},{"side":"offer","event_time":"2026-05-27T14:51:03.098765Z","price_level":"64000.21","new_quantity":"1.25000000"}]}]}"#;
    group.bench_function("coinbase_update_3", |bench| {
        bench.iter(|| {
            parser
                .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                .expect("a known shape")
        })
    });
    let mut parser = coinbase_exchange::Parser::new(["BTC-USD"].into_iter());
    assert!(parser.set_scale(SymbolId(0), Scale { price: 2, qty: 8 }));
    let frame = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","64000.10","0.50000000"],["buy","63999.52","0.00000000"],["sell","64000.21","1.25000000"]],"time":"2026-05-27T14:51:03.120456Z"}"#;
    group.bench_function("coinbase_exchange_update_3", |bench| {
        bench.iter(|| {
            parser
                .parse(black_box(frame.as_bytes()), &mut changes, &mut prints)
                .expect("a known shape")
        })
    });
    group.finish();
}

/// Parse, chain of ids, book, sink: all that a session does for a frame.
fn binance_session(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner/session");
    for levels in [1, 10, 50, 200] {
        let messages = depth::updates(levels, 20_000 / levels, 42);
        let frames: Vec<String> = messages
            .iter()
            .map(|message| depth::json(message, Wire::Spot))
            .collect();
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(BenchmarkId::new("binance_diff", format!("L{levels}")), |bench| {
            bench.iter_batched(
                || session::live(messages[0].first_id - 1),
                |(mut session, mut sink)| {
                    let mut out = Outbox::new();
                    for frame in &frames {
                        let mut stamps = Stamps::default();
                        session.on_frame(black_box(frame.as_bytes()), &mut stamps, NoClock, &mut sink, &mut out);
                    }
                    assert!(sink.books >= frames.len(), "a frame was not shown");
                    (session, sink)
                },
                criterion::BatchSize::LargeInput,
            )
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = binance_diff, small_frames, binance_session
}
criterion_main!(benches);
