//! A session driven by a script, and a witness that holds it to its word.
//!
//! A script is lines; the first byte says what the rest is:
//!
//! ```text
//! f<frame>          a text frame
//! s<body> t<body>   the REST snapshot of the first symbol, of the second
//! u       v         there is none
//! w<ms>             so much time passes, and a timer fires
//! r                 the connections are lost and one is opened anew
//! l                 what follows comes on the other of two connections, which is opened if need be
//! k                 that connection is lost, if there is another
//! ```
//!
//! Other lines, and frames that are not UTF-8 (a WebSocket refuses them first), are left out.

use std::collections::BTreeMap;

use quantumflow_feeds::book::Book;
use quantumflow_feeds::capture::{CaptureReader, Record};
use quantumflow_feeds::clock::NoClock;
use quantumflow_feeds::event::{BookUpdate, FeedEvent, ResyncReason, SnapshotFault, Stamps, TopOfBook, Trade};
use quantumflow_feeds::sim::{CaptureConfig, CaptureLength, market_capture};
use quantumflow_feeds::venue::{Outbox, Session, SessionConfig};
use quantumflow_feeds::{Line, Quality, Scale, Side, Sink, SymbolId, UnixNanos, VenueId};

/// The symbols of every script.
pub fn symbols(venue: VenueId) -> [&'static str; 2] {
    venue.facts().symbols
}

/// Scripts of small generated markets, and one whose decimals change.
pub fn seeds(venue: VenueId) -> Vec<Vec<u8>> {
    let mut seeds = markets(venue);
    seeds.push(match venue {
        VenueId::BinanceSpot => BINANCE_DECIMALS.to_vec(),
        VenueId::KrakenV2 => KRAKEN_DECIMALS.to_vec(),
        VenueId::BybitSpot | VenueId::BybitLinear => BYBIT_DECIMALS.to_vec(),
        VenueId::OkxV5 => OKX_DECIMALS.to_vec(),
        VenueId::CoinbaseAdvanced => COINBASE_DECIMALS.to_vec(),
        VenueId::CoinbaseExchange => COINBASE_EXCHANGE_DECIMALS.to_vec(),
        VenueId::BinanceUsdm => USDM_DECIMALS.to_vec(),
    });
    seeds
}

fn markets(venue: VenueId) -> Vec<Vec<u8>> {
    [(1, 4, 4), (2, 12, 11), (3, 40, 14)]
        .map(|(seed, events, level_count)| {
            let mut config = CaptureConfig::new(venue, &symbols(venue), seed, CaptureLength::Events(events));
            config.depth_interval_ms = 0;
            for symbol in &mut config.market.symbols {
                symbol.level_count = level_count;
            }
            let path = crate::scratch("seed");
            let mut capture = Vec::new();
            market_capture(&config, &mut capture).expect("a market can be written to memory");
            std::fs::write(&path, capture).expect("scratch can be written");
            let mut script = Vec::new();
            let mut reader = CaptureReader::open([&path]).expect("it was written");
            while let Some(record) = reader.next_record().expect("it was written well") {
                let (what, text) = match record {
                    Record::Frame { frame, .. } => (b'f', frame),
                    Record::Snapshot { symbol, body, .. } if symbol == symbols(venue)[0] => (b's', body),
                    Record::Snapshot { body, .. } => (b't', body),
                    _ => continue,
                };
                // One of them by two connections.
                let copies: &[&[u8]] = if seed == 2 && what == b'f' {
                    &[b"", b"l\n"]
                } else {
                    &[b""]
                };
                for turn in copies {
                    script.extend_from_slice(turn);
                    script.push(what);
                    script.extend_from_slice(text);
                    script.push(b'\n');
                }
            }
            script.extend_from_slice(b"w40000\nr\nu\nw1000\n");
            script
        })
        .to_vec()
}

/// The frames of a script.
pub fn frames(script: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = script.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        line.strip_prefix(b"f")
            .filter(|frame| std::str::from_utf8(frame).is_ok())
    })
}

/// Plays a script. Where a checksum stands in the way, which no mutation can guess, it is corrected by what the session
/// found and the script begins again, some times.
pub fn play(venue: VenueId, script: &[u8]) {
    let mut lines: Vec<Vec<u8>> = script.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..8 {
        let Some((line, expected, got)) = play_once(venue, &lines) else {
            return;
        };
        // Signed where the venue prints it so.
        let texts = [
            (format!("\"checksum\":{expected}"), format!("\"checksum\":{got}")),
            (
                format!("\"checksum\":{}", expected.cast_signed()),
                format!("\"checksum\":{}", got.cast_signed()),
            ),
        ];
        let place = |wrong: &str| {
            let mut windows = lines[line].windows(wrong.len());
            windows.position(|window| window == wrong.as_bytes())
        };
        let Some((at, wrong, right)) = texts
            .iter()
            .find_map(|(wrong, right)| Some((place(wrong)?, wrong, right)))
        else {
            return;
        };
        lines[line].splice(at..at + wrong.len(), right.bytes());
    }
}

/// Returns the first checksum that did not hold: in which line, what the frame said, what the session found.
fn play_once(venue: VenueId, lines: &[Vec<u8>]) -> Option<(usize, u32, u32)> {
    let mut config = SessionConfig::new(venue, symbols(venue));
    config.backlog_bytes = 64 << 10;
    let mut session = Session::new(&config).expect("a plain configuration");
    let mut out = Outbox::new();
    let mut witness = Witness {
        ids_start_again: venue == VenueId::OkxV5,
        ..Witness::default()
    };
    let mut now = UnixNanos(1_767_571_200_000_000_000);
    let mut mismatch = None;
    session.on_open(now, &mut witness, &mut out);
    let (mut line_at, mut is_open) = (Line::First, [true, false]);
    for (number, line) in lines.iter().enumerate() {
        let Some((&what, rest)) = line.split_first() else {
            continue;
        };
        let mut stamps = Stamps {
            receive_time: now,
            ..Stamps::default()
        };
        let symbol = SymbolId(u16::from(matches!(what, b't' | b'v')));
        match what {
            b'f' if std::str::from_utf8(rest).is_ok() => {
                session.on_frame(rest, &mut stamps, NoClock, &mut witness, &mut out);
            }
            b's' | b't' => session.on_snapshot(symbol, Ok(rest), &mut stamps, NoClock, &mut witness, &mut out),
            b'u' | b'v' => {
                let fault = Err(SnapshotFault::Unavailable);
                session.on_snapshot(symbol, fault, &mut stamps, NoClock, &mut witness, &mut out);
            }
            b'w' => {
                let ms: u64 = std::str::from_utf8(rest)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(100);
                now = UnixNanos(now.0.saturating_add(ms.saturating_mul(1_000_000)));
                session.on_timer(now, &mut witness, &mut out);
            }
            b'l' if venue.facts().shares_ids => {
                line_at = line_at.other();
                session.select(line_at);
                if !std::mem::replace(&mut is_open[line_at.index()], true) {
                    session.on_open(now, &mut witness, &mut out);
                }
            }
            b'k' if is_open == [true; 2] => {
                is_open[line_at.index()] = false;
                session.on_close(&mut witness);
                line_at = line_at.other();
                session.select(line_at);
            }
            b'r' => {
                for line in Line::ALL.into_iter().filter(|line| is_open[line.index()]) {
                    session.select(line);
                    session.on_close(&mut witness);
                }
                (line_at, is_open) = (Line::First, [true, false]);
                session.select(line_at);
                assert!(
                    (0..2).all(|id| session.book(SymbolId(id)).is_none()),
                    "a book without a connection"
                );
                session.on_open(now, &mut witness, &mut out);
            }
            _ => continue,
        }
        assert!(
            out.frames().map(str::len).sum::<usize>() < 16 << 10,
            "one call wants too much sent"
        );
        assert!(out.snapshot_requests().len() <= 4, "one call wants too much fetched");
        out.clear();
        witness.agrees_with(&session);
        if let Some((expected, got)) = witness.mismatch.take() {
            mismatch.get_or_insert((number, expected, got));
        }
    }
    mismatch
}

/// What a caller of a session may believe, kept in the obvious way.
#[derive(Default)]
struct Witness {
    symbols: [Believed; 2],
    mismatch: Option<(u32, u32)>,
    /// The venue may count from another id after a maintenance.
    ids_start_again: bool,
}

#[derive(Default)]
struct Believed {
    /// What is shown: prices and quantities of the bids and of the asks.
    book: Option<[BTreeMap<i64, i64>; 2]>,
    update_id: u64,
    /// The scale that was told.
    scale: Option<Scale>,
    rescaled: bool,
}

impl Witness {
    fn agrees_with(&self, session: &Session) {
        for (id, believed) in (0..).zip(&self.symbols) {
            let symbol = SymbolId(id);
            let shown = session.book(symbol);
            assert_eq!(
                shown.is_some(),
                believed.book.is_some(),
                "shown without a word, or hidden"
            );
            assert_eq!(shown.is_some(), session.quality(symbol) != Quality::Resyncing);
            if let (Some(shown), Some(book)) = (shown, &believed.book) {
                // Between a new scale and the update that tells the whole book its mantissas are new.
                let shown_levels = levels(shown);
                assert!(
                    believed.rescaled || &shown_levels == book,
                    "the book moved without a word"
                );
                assert!(shown.stats().bytes < 64 << 20, "the book takes too much memory");
            }
        }
    }
}

impl Sink for Witness {
    fn on_book(&mut self, update: &BookUpdate<'_>, _: &Stamps) {
        let believed = &mut self.symbols[update.instrument.id.index()];
        let shown = levels(update.book);
        assert!(!update.book.is_crossed(), "a crossed book was shown");
        assert!(matches!(update.quality, Quality::Verified | Quality::Unverified));
        assert!(
            update.is_snapshot || !believed.rescaled,
            "a book of another scale must be told whole"
        );
        believed.rescaled = false;
        assert_eq!(
            *believed.scale.get_or_insert(update.instrument.scale),
            update.instrument.scale
        );
        match &mut believed.book {
            _ if update.is_snapshot => assert!(update.changes.is_empty()),
            None => panic!("a change of a book that was not shown"),
            Some(book) => {
                assert!(
                    update.update_id > believed.update_id
                        || (self.ids_start_again && update.update_id < believed.update_id),
                    "the ids go back"
                );
                for change in update.changes {
                    let side = &mut book[usize::from(change.side == Side::Ask)];
                    match change.qty.0 {
                        0 => side.remove(&change.price.0),
                        qty => side.insert(change.price.0, qty),
                    };
                }
                // A venue's depth may cut the worst levels off; nothing else may differ.
                let keep = shown.each_ref().map(BTreeMap::len);
                while book[0].len() > keep[0] && DEPTHS.contains(&keep[0]) {
                    book[0].pop_first();
                }
                while book[1].len() > keep[1] && DEPTHS.contains(&keep[1]) {
                    book[1].pop_last();
                }
                assert_eq!(book, &shown, "the book is not the last one and its changes");
            }
        }
        believed.book = Some(shown);
        believed.update_id = update.update_id;
    }

    fn on_trade(&mut self, trade: &Trade<'_>, _: &Stamps) {
        let scale = self.symbols[trade.instrument.id.index()].scale;
        assert_eq!(
            scale,
            Some(trade.instrument.scale),
            "a trade at a scale that was not told"
        );
        assert!(trade.price.0 >= 0 && trade.qty.0 >= 0);
    }

    fn on_top(&mut self, top: &TopOfBook<'_>, _: &Stamps) {
        let believed = &self.symbols[top.instrument.id.index()];
        assert_eq!(
            believed.scale,
            Some(top.instrument.scale),
            "a top at a scale that was not told"
        );
        // Between a new scale and the update that tells the whole book, the last book told has other mantissas.
        if let (Some(true), Some([bids, asks]), false) = (top.agrees, &believed.book, believed.rescaled) {
            let best = (bids.last_key_value(), asks.first_key_value());
            let said = ((&top.bid.0.0, &top.bid.1.0), (&top.ask.0.0, &top.ask.1.0));
            assert_eq!(
                best,
                (Some(said.0), Some(said.1)),
                "a top that agrees with another book"
            );
        }
    }

    fn on_event(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::ResyncStarted { symbol, reason } => {
                self.symbols[symbol.index()].book = None;
                if let ResyncReason::ChecksumMismatch { expected, got } = reason {
                    self.mismatch.get_or_insert((expected, got));
                }
            }
            FeedEvent::Rescaled { symbol, scale } => {
                let believed = &mut self.symbols[symbol.index()];
                believed.scale = Some(scale);
                believed.rescaled = true;
            }
            _ => {}
        }
    }
}

/// Both sides of a book, which must be sorted, best first, without an empty level.
fn levels(book: &Book) -> [BTreeMap<i64, i64>; 2] {
    [Side::Bid, Side::Ask].map(|side| {
        let prices: Vec<i64> = book.levels(side).map(|level| level.price.0).collect();
        assert!(
            prices.windows(2).all(|pair| match side {
                Side::Bid => pair[0] > pair[1],
                Side::Ask => pair[0] < pair[1],
            }),
            "a side out of order"
        );
        assert_eq!(prices.len(), book.level_count(side));
        assert_eq!(prices.first(), book.best(side).map(|level| level.price.0).as_ref());
        assert_eq!(prices.last(), book.worst(side).map(|level| level.price.0).as_ref());
        assert!(book.levels(side).all(|level| level.qty.0 > 0), "an empty level");
        book.levels(side).map(|level| (level.price.0, level.qty.0)).collect()
    })
}

const BINANCE_DECIMALS: &[u8] = br#"f{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":6,"b":[["10.1","1"]],"a":[]}
s{"lastUpdateId":5,"bids":[["10.0","1"]],"asks":[["10.5","2"]]}
f{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":7,"u":7,"b":[["10.123","0.5"]],"a":[]}
f{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"10.2001","q":"1.0","T":1,"m":true,"M":true}
f{"u":8,"s":"BTCUSDT","b":"10.123","B":"0.5","a":"10.5","A":"2.0"}
f{"e":"depthUpdate","E":3,"s":"BTCUSDT","U":8,"u":8,"b":[],"a":[["10.6","1.00000001"]]}
"#;

const USDM_DECIMALS: &[u8] = br#"f{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":5,"u":6,"pu":3,"b":[["10.10","1.000"]],"a":[]}
s{"lastUpdateId":5,"E":1,"T":1,"bids":[["10.00","1.000"]],"asks":[["10.50","2.000"]]}
f{"e":"depthUpdate","E":2,"T":2,"s":"BTCUSDT","ps":"BTCUSDT","U":9,"u":9,"pu":6,"b":[["10.123","0.5"]],"a":[],"st":1}
f{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"10.2001","q":"1.0","X":"MARKET","m":true,"st":1}
f{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":2,"p":"0","q":"0","X":"NA","m":true,"st":1}
f{"e":"bookTicker","u":9,"s":"BTCUSDT","ps":"BTCUSDT","b":"10.123","B":"0.5","a":"10.50","A":"2.000","T":2,"E":2,"st":1}
f{"e":"depthUpdate","E":3,"T":3,"s":"BTCUSDT","ps":"BTCUSDT","U":12,"u":12,"pu":9,"b":[],"a":[["10.60","1.00000001"]],"st":1}
"#;

const KRAKEN_DECIMALS: &[u8] = br#"f{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":10.0,"qty":1.00}],"asks":[{"price":10.5,"qty":1.00}],"checksum":1,"timestamp":"2026-01-05T00:00:00.000000Z"}]}
f{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":10.1,"qty":2.00}],"asks":[],"checksum":1,"timestamp":"2026-01-05T00:00:00.000001Z"}]}
f{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":10.00,"qty":1.00}],"asks":[{"price":10.50,"qty":1.00}],"checksum":1,"timestamp":"2026-01-05T00:00:00.000002Z"}]}
f{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":10.5,"qty":1.00,"ord_type":"limit","trade_id":7,"timestamp":"2026-01-05T00:00:00.000003Z"}]}
f{"channel":"trade","type":"update","data":[]}
w40000
"#;

const BYBIT_DECIMALS: &[u8] = br#"f{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":2,"data":{"s":"BTCUSDT","b":[["10.0","1"]],"a":[["10.5","2"]],"u":7,"seq":9},"cts":1}
f{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":3,"data":[{"T":3,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"10.50","L":"PlusTick","i":"8c931d9a-b703-5c34-9aeb-860867cf1f66","BT":false,"RPI":false,"seq":9}]}
f{"topic":"orderbook.50.BTCUSDT","ts":3,"type":"delta","data":{"s":"BTCUSDT","b":[["10.123","0.5"]],"a":[["10.5","0"],["10.6","3"]],"u":8,"seq":11},"cts":2}
f{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":4,"data":{"s":"BTCUSDT","b":[["10","1"]],"a":[["10.5001","2"]],"u":1,"seq":12},"cts":3}
f{"topic":"publicTrade.BTCUSDT","ts":5,"type":"snapshot","data":[{"i":"2290000000970262966","T":5,"p":"10.50011","v":"1","S":"Sell","seq":13,"s":"BTCUSDT","BT":false,"RPI":false}]}
f{"topic":"orderbook.50.BTCUSDT","ts":6,"type":"delta","data":{"s":"BTCUSDT","b":[],"a":[["10.6","1.00000001"]],"u":3,"seq":14},"cts":4}
f{"success":false,"ret_msg":"error:handler not found,topic:orderbook.50.ETHUSDT","conn_id":"x","req_id":"orderbook.50.ETHUSDT","op":"subscribe"}
f{"success":true,"ret_msg":"pong","op":"ping"}
w40000
"#;

/// The depths to which Kraken and Bybit cut a book.
const DEPTHS: [usize; 7] = [1, 10, 25, 50, 100, 500, 1000];

const OKX_DECIMALS: &[u8] = br#"f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["10.5","2","0","1"]],"bids":[["10","1","0","1"]],"ts":"1","checksum":0,"seqId":5,"prevSeqId":-1}]}
f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[["10.12","0.5","0","1"]],"ts":"2","checksum":0,"seqId":9,"prevSeqId":5}]}
f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["10.5","0","0","0"]],"bids":[],"ts":"3","checksum":1,"seqId":10,"prevSeqId":9}]}
f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],"ts":"3","checksum":0,"seqId":10,"prevSeqId":10}]}
f{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"7","px":"10.123","sz":"1","side":"buy","ts":"4","count":"1"}]}
f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["10.6","1.00000001","0","1"]],"bids":[],"ts":"5","checksum":0,"seqId":3,"prevSeqId":10}]}
f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["10.7","1","0","1"]],"bids":[],"ts":"6","checksum":0,"seqId":8,"prevSeqId":7}]}
s{"code":"0","msg":"","data":[{"asks":[["10.55","2","0","1"]],"bids":[["10","1","0","1"]],"ts":"6","seqId":7}]}
f{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[["10.1","1","0","1"]],"ts":"7","checksum":-1}]}
w40000
"#;
/// With a frame of two books and, behind it, a gap.
const COINBASE_DECIMALS: &[u8] = br#"f{"channel":"l2_data","client_id":"","timestamp":"2026-01-05T00:00:00.1Z","sequence_num":0,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"1970-01-01T00:00:00Z","price_level":"10.0","new_quantity":"1.00"},{"side":"offer","event_time":"1970-01-01T00:00:00Z","price_level":"10.5","new_quantity":"1"}]}]}
f{"channel":"l2_data","client_id":"","timestamp":"2026-01-05T00:00:00.2Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-01-05T00:00:00.2Z","price_level":"10.125","new_quantity":"0.00000001"}]}]}
f{"channel":"market_trades","client_id":"","timestamp":"2026-01-05T00:00:00.3Z","sequence_num":2,"events":[{"type":"update","trades":[{"trade_id":"7","product_id":"BTC-USD","price":"10.1251","size":"1","side":"SELL","time":"2026-01-05T00:00:00.3Z"}]}]}
f{"channel":"l2_data","client_id":"","timestamp":"2026-01-05T00:00:00.4Z","sequence_num":3,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-01-05T00:00:00.4Z","price_level":"10.125","new_quantity":"0"}]},{"type":"snapshot","product_id":"ETH-USD","updates":[{"side":"offer","event_time":"2026-01-05T00:00:00.4Z","price_level":"5","new_quantity":"2"}]}]}
f{"channel":"heartbeats","client_id":"","timestamp":"2026-01-05T00:00:00.5Z","sequence_num":5,"events":[{"current_time":"x","heartbeat_counter":"1"}]}
w40000
"#;

const COINBASE_EXCHANGE_DECIMALS: &[u8] = br#"f{"type":"snapshot","product_id":"BTC-USD","bids":[["10.0","1.00"]],"asks":[["10.5","1.00"]]}
f{"type":"l2update","product_id":"BTC-USD","changes":[["buy","10.125","0.00000001"],["sell","10.5","0.00"]],"time":"2026-01-05T00:00:00.1Z"}
f{"type":"match","trade_id":7,"maker_order_id":"a","taker_order_id":"b","side":"sell","size":"1","price":"10.1251","product_id":"BTC-USD","sequence":9,"time":"2026-01-05T00:00:00.2Z"}
f{"type":"l2update","product_id":"BTC-USD","changes":[["sell","10.125","1"]],"time":"2026-01-05T00:00:00.3Z"}
f{"type":"heartbeat","last_trade_id":7,"product_id":"BTC-USD","sequence":9,"time":"2026-01-05T00:00:01Z"}
w40000
"#;
