//! A generated market written straight into a capture, without sockets: as fast as the machine goes, the venue's time as
//! the time of receipt. What training and benches read.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::exchange::{ClientKey, Clients, DialectOptions, Exchange, Generated};
use super::fault::Faults;
use super::load::LoadShape;
use super::market::MarketConfig;
use super::stats::MessageKind;
use crate::types::{UnixNanos, VenueId};

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureConfig {
    /// In whose words.
    pub venue: VenueId,
    /// Which market.
    pub market: MarketConfig,
    /// Binance and Bybit: the pace of the book's messages in milliseconds, or 0 for one message per event.
    pub depth_interval_ms: u64,
    /// Kraken and Bybit: the depth of the book subscription, one that the venue has.
    pub depth: usize,
    /// Where to stop.
    pub length: CaptureLength,
}

impl CaptureConfig {
    /// These symbols of a venue at its usual pace: Binance diffs each 100 ms, Kraken depth 10, Bybit depth 50 each 20 ms.
    pub fn new(venue: VenueId, symbols: &[&str], seed: u64, length: CaptureLength) -> Self {
        let market = MarketConfig::preset(venue, symbols, seed);
        let is_bybit = matches!(venue, VenueId::BybitSpot | VenueId::BybitLinear);
        Self {
            venue,
            market,
            depth_interval_ms: if is_bybit { 20 } else { 100 },
            depth: if is_bybit { 50 } else { 10 },
            length,
        }
    }
}

/// Where a capture stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CaptureLength {
    /// After so many seconds of the market's time.
    Seconds(f64),
    /// After so many events of the market, all instruments together.
    Events(u64),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureSummary {
    /// Frames received, REST answers included.
    pub messages: u64,
    /// Book updates among them.
    pub book_updates: u64,
    /// Bytes of the file, before any compression.
    pub bytes: u64,
    /// Events of the market.
    pub events: u64,
    /// The time of the first line and of the last.
    pub first: UnixNanos,
    /// See `first`.
    pub last: UnixNanos,
}

/// Why there is no capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureWriteError {
    /// The venue would refuse this request.
    #[error("{venue} refuses the subscription: {answer}; mend symbols or depth")]
    Refused {
        /// Which venue.
        venue: VenueId,
        /// In its words.
        answer: String,
    },
    /// The market has no instrument.
    #[error("a capture needs at least one symbol")]
    NoSymbols,
    /// The file cannot be written.
    #[error("failed to write the capture")]
    Io(#[from] io::Error),
}

/// Writes a capture of the generated market: `<ns> <frame>` lines, what was sent and asked as `#` lines. For Binance each
/// instrument's REST book follows its first diff, behind a line `# <ns> rest <symbol>`.
///
/// The writer is given many small writes: buffer it.
///
/// # Errors
/// The configuration is one that the venue would refuse, or the writer fails.
pub fn market_capture(config: &CaptureConfig, writer: &mut dyn Write) -> Result<CaptureSummary, CaptureWriteError> {
    if config.market.symbols.is_empty() {
        return Err(CaptureWriteError::NoSymbols);
    }
    let mut writer = Lines {
        writer,
        summary: CaptureSummary::default(),
    };
    let start = config.market.start_time;
    let options = DialectOptions {
        depth_interval_ms: Some(config.depth_interval_ms),
        enforce_limits: false,
    };
    let natural = LoadShape::Natural { speed: 1.0 };
    let clients = Clients::new(Faults::none());
    let mut exchange = Generated::new(config.venue, &config.market, options, natural, clients, start);
    let symbols: Vec<String> = config
        .market
        .symbols
        .iter()
        .map(|symbol| symbol.symbol.clone())
        .collect();

    let (target, requests) = requests(config, &symbols);
    let refused = |answer: String| CaptureWriteError::Refused {
        venue: config.venue,
        answer,
    };
    let key = exchange
        .connect(target, start)
        .map_err(|status| refused(format!("HTTP {status}")))?;
    writer.note(
        start,
        "open",
        &format!(
            "a generated market, {} {target}, seed {}",
            config.venue, config.market.seed
        ),
    )?;
    for request in &requests {
        writer.note(start, "sent", request)?;
        exchange.receive(key, request, start);
    }
    // Which REST book is fetched when; a symbol waits here from its first diff on.
    let mut fetches: VecDeque<(UnixNanos, usize)> = VecDeque::new();
    let mut is_seeded = vec![!config.venue.facts().has_rest_snapshots; symbols.len()];
    let mut now = start;
    let end = match config.length {
        CaptureLength::Seconds(seconds) => Some(UnixNanos(start.0 + (seconds.max(0.0) * 1e9) as u64)),
        CaptureLength::Events(_) => None,
    };
    loop {
        let next = exchange.advance(now, false);
        write_batch(&mut exchange, key, now, &mut writer, &refused, |symbol, kind| {
            if kind == MessageKind::BookUpdate && !std::mem::replace(&mut is_seeded[symbol], true) {
                fetches.push_back((UnixNanos(now.0 + FETCH_NS), symbol));
            }
        })?;
        writer.summary.events = exchange.market_events();
        let is_over = match config.length {
            CaptureLength::Seconds(_) => end.is_some_and(|end| next > end),
            CaptureLength::Events(events) => writer.summary.events >= events,
        };
        if is_over {
            break;
        }
        while let Some((time, symbol)) = fetches.front().copied().filter(|(time, _)| *time <= next) {
            fetches.pop_front();
            let name = &symbols[symbol];
            let reply = exchange.rest(&rest_target(config.venue, name), time);
            // What fell due on the way to this time was said before the answer.
            write_batch(&mut exchange, key, time, &mut writer, &refused, |_, _| {})?;
            writer.note(time, "rest", name)?;
            writer.line(time, &reply.body)?;
        }
        now = next.max(now);
    }
    writer.writer.flush()?;
    Ok(writer.summary)
}

fn write_batch(
    exchange: &mut Generated,
    key: ClientKey,
    time: UnixNanos,
    writer: &mut Lines<'_>,
    refused: &dyn Fn(String) -> CaptureWriteError,
    mut seen: impl FnMut(usize, MessageKind),
) -> Result<(), CaptureWriteError> {
    let Some(batch) = exchange.clients().batch(key) else {
        return Ok(());
    };
    for frame in &batch.frames {
        let payload = &batch.bytes[frame.end - frame.payload_bytes..frame.end];
        if frame.kind == MessageKind::Refusal {
            return Err(refused(String::from_utf8_lossy(payload).into_owned()));
        }
        writer.line(time, payload)?;
        writer.summary.book_updates += u64::from(frame.kind == MessageKind::BookUpdate);
        if let Some(symbol) = frame.symbol {
            seen(usize::from(symbol), frame.kind);
        }
    }
    batch.clear();
    Ok(())
}

/// Where to connect and what to ask for: books and trades of every symbol, and Binance's tops.
fn requests(config: &CaptureConfig, symbols: &[String]) -> (&'static str, Vec<String>) {
    match config.venue {
        VenueId::BinanceSpot | VenueId::BinanceUsdm => {
            let (path, depth) = match config.venue {
                VenueId::BinanceUsdm => ("/public/stream", "depth@0ms"),
                _ => ("/stream", "depth@100ms"),
            };
            let streams = symbols.iter().flat_map(|symbol| {
                let lower = symbol.to_lowercase();
                [
                    format!("\"{lower}@{depth}\""),
                    format!("\"{lower}@bookTicker\""),
                    format!("\"{lower}@trade\""),
                ]
            });
            let params = streams.collect::<Vec<_>>().join(",");
            (
                path,
                vec![format!("{{\"method\":\"SUBSCRIBE\",\"params\":[{params}],\"id\":1}}")],
            )
        }
        VenueId::CoinbaseAdvanced => {
            let products = symbols.join("\",\"");
            let subscribe = |channel| {
                format!("{{\"type\":\"subscribe\",\"product_ids\":[\"{products}\"],\"channel\":\"{channel}\"}}")
            };
            ("/", ["level2", "market_trades", "heartbeats"].map(subscribe).into())
        }
        VenueId::CoinbaseExchange => {
            let products = symbols.join("\",\"");
            let channels = "[\"level2_batch\",\"matches\",\"heartbeat\"]";
            let request =
                format!("{{\"type\":\"subscribe\",\"product_ids\":[\"{products}\"],\"channels\":{channels}}}");
            ("/", vec![request])
        }
        VenueId::KrakenV2 => {
            let names = symbols
                .iter()
                .map(|symbol| format!("\"{symbol}\""))
                .collect::<Vec<_>>()
                .join(",");
            let depth = config.depth;
            let book = format!("{{\"channel\":\"book\",\"symbol\":[{names}],\"depth\":{depth},\"snapshot\":true}}");
            let trade = format!("{{\"channel\":\"trade\",\"symbol\":[{names}],\"snapshot\":false}}");
            let subscribe = |params| format!("{{\"method\":\"subscribe\",\"params\":{params}}}");
            ("/v2", vec![subscribe(book), subscribe(trade)])
        }
        VenueId::BybitSpot | VenueId::BybitLinear => {
            let depth = config.depth;
            let topics = symbols
                .iter()
                .flat_map(|symbol| [format!("orderbook.{depth}.{symbol}"), format!("publicTrade.{symbol}")]);
            let subscribe = |topic| format!("{{\"req_id\":\"{topic}\",\"op\":\"subscribe\",\"args\":[\"{topic}\"]}}");
            let path = match config.venue {
                VenueId::BybitSpot => "/v5/public/spot",
                _ => "/v5/public/linear",
            };
            (path, topics.map(subscribe).collect())
        }
        VenueId::OkxV5 => {
            let arg = |channel, symbol| format!("{{\"channel\":\"{channel}\",\"instId\":\"{symbol}\"}}");
            let args = symbols
                .iter()
                .flat_map(|symbol| [arg("books", symbol), arg("trades", symbol)]);
            let args = args.collect::<Vec<_>>().join(",");
            (
                "/ws/v5/public",
                vec![format!("{{\"id\":\"1\",\"op\":\"subscribe\",\"args\":[{args}]}}")],
            )
        }
    }
}

/// What to ask REST for a whole book.
fn rest_target(venue: VenueId, symbol: &str) -> String {
    match venue {
        VenueId::BinanceUsdm => format!("/fapi/v1/depth?symbol={symbol}&limit=1000"),
        _ => format!("/api/v3/depth?symbol={symbol}&limit=5000"),
    }
}

/// The line format, and the count of what went through.
struct Lines<'a> {
    writer: &'a mut dyn Write,
    summary: CaptureSummary,
}

impl Lines<'_> {
    fn line(&mut self, time: UnixNanos, frame: &[u8]) -> io::Result<()> {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(time.0).as_bytes();
        self.writer.write_all(digits)?;
        self.writer.write_all(b" ")?;
        self.writer.write_all(frame)?;
        self.writer.write_all(b"\n")?;
        if self.summary.messages == 0 {
            self.summary.first = time;
        }
        self.summary.messages += 1;
        self.summary.last = time;
        self.summary.bytes += (digits.len() + frame.len() + 2) as u64;
        Ok(())
    }

    fn note(&mut self, time: UnixNanos, what: &str, text: &str) -> io::Result<()> {
        let line = format!("# {} {what} {text}\n", time.0);
        self.summary.bytes += line.len() as u64;
        self.writer.write_all(line.as_bytes())
    }
}

/// From the first diff to the REST answer: a request there and back.
const FETCH_NS: u64 = 60_000_000;
