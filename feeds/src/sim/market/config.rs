//! What a generated instrument looks like, and the instruments that come ready.

use crate::types::{Price, Qty, Scale, UnixNanos, VenueId};

/// One generated instrument. Prices and quantities are mantissas at `scale`, the decimals that the venue's wire carries.
#[derive(Clone, Debug, PartialEq)]
pub struct SymbolConfig {
    /// The venue's own spelling: `BTCUSDT`, `BTC/USD`.
    pub symbol: String,
    /// Decimals of prices and quantities on the wire.
    pub scale: Scale,
    /// The smallest step of a price.
    pub tick: Price,
    /// The smallest step of a quantity.
    pub lot: Qty,
    /// Where the market starts.
    pub start_price: Price,
    /// The median size of an order.
    pub typical_qty: Qty,
    /// The usual distance between neighbouring levels near the touch, in ticks. Large on a pair whose tick is tiny
    /// beside its price: its book is sparse.
    pub gap_ticks: f64,
    /// Events per second in quiet times; trades excite more, so that the long-run mean is about twice this.
    pub events_per_second: f64,
    /// Levels that each side keeps, about.
    pub level_count: usize,
}

impl SymbolConfig {
    /// A ready instrument: the well-known pairs with ticks, lots and prices like theirs, and for any other name a pair
    /// around 100 with a tick of 0.01.
    pub fn preset(venue: VenueId, symbol: &str) -> Self {
        let row = PRESETS
            .iter()
            .find(|(base, _)| symbol.starts_with(base))
            .map_or(&FALLBACK, |(_, row)| row);
        match venue {
            VenueId::BinanceSpot => row.build(symbol, Scale { price: 8, qty: 8 }, row.tick_decimals, row.lot_decimals),
            VenueId::BybitSpot | VenueId::BybitLinear => {
                let (tick, lot) = (row.tick_decimals, row.lot_decimals);
                row.build(symbol, Scale { price: tick, qty: lot }, tick, lot)
            }
            // OKX takes trailing zeros off, so these are the decimals of tick and lot.
            VenueId::OkxV5 => {
                let (price, qty) = (row.tick_decimals, row.lot_decimals);
                row.build(symbol, Scale { price, qty }, price, qty)
            }
            VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => {
                let price = row.tick_decimals;
                row.build(symbol, Scale { price, qty: 8 }, price, 8)
            }
            VenueId::BinanceUsdm => {
                let scale = Scale {
                    price: row.tick_decimals,
                    qty: row.lot_decimals.min(3),
                };
                row.build(symbol, scale, scale.price, scale.qty)
            }
            // Kraken prints exactly the decimals of the pair; its quantities always carry eight.
            VenueId::KrakenV2 => {
                let decimals = row.kraken_decimals;
                row.build(
                    symbol,
                    Scale {
                        price: decimals,
                        qty: 8,
                    },
                    decimals,
                    8,
                )
            }
        }
    }
}

/// A whole generated market.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketConfig {
    /// The same seed gives the same market.
    pub seed: u64,
    /// The time of the first event.
    pub start_time: UnixNanos,
    /// How strongly order flow leads the price: one is the default, zero a market with nothing to learn.
    pub signal: f64,
    /// The instruments.
    pub symbols: Vec<SymbolConfig>,
}

impl MarketConfig {
    /// These symbols of a venue, as [presets](SymbolConfig::preset), from 2026-01-05 00:00 UTC.
    pub fn preset(venue: VenueId, symbols: &[&str], seed: u64) -> Self {
        Self {
            seed,
            start_time: UnixNanos(1_767_571_200_000_000_000),
            signal: 1.0,
            symbols: symbols
                .iter()
                .map(|symbol| SymbolConfig::preset(venue, symbol))
                .collect(),
        }
    }
}

/// One line of the table of ready instruments, in plain units.
struct Preset {
    price: f64,
    tick_decimals: u8,
    kraken_decimals: u8,
    lot_decimals: u8,
    typical_qty: f64,
    /// Half a basis point or so: what makes the books of different prices look alike.
    gap: f64,
    events_per_second: f64,
}

impl Preset {
    fn build(&self, symbol: &str, scale: Scale, tick_decimals: u8, lot_decimals: u8) -> SymbolConfig {
        let tick = 10i64.pow(u32::from(scale.price - tick_decimals));
        let lot = 10i64.pow(u32::from(scale.qty - lot_decimals));
        let in_ticks = 10f64.powi(i32::from(tick_decimals));
        let in_lots = 10f64.powi(i32::from(lot_decimals));
        SymbolConfig {
            symbol: symbol.to_owned(),
            scale,
            tick: Price(tick),
            lot: Qty(lot),
            start_price: Price((self.price * in_ticks).round() as i64 * tick),
            typical_qty: Qty(((self.typical_qty * in_lots).round() as i64).max(1) * lot),
            gap_ticks: (self.gap * in_ticks).max(1.0),
            events_per_second: self.events_per_second,
            level_count: 1_200,
        }
    }
}

const FALLBACK: Preset = Preset {
    price: 100.0,
    tick_decimals: 2,
    kraken_decimals: 2,
    lot_decimals: 3,
    typical_qty: 5.0,
    gap: 0.01,
    events_per_second: 40.0,
};

/// By the base of the pair's name.
const PRESETS: [(&str, Preset); 6] = [
    (
        "BTC",
        Preset {
            price: 61_837.6,
            tick_decimals: 2,
            kraken_decimals: 1,
            lot_decimals: 5,
            typical_qty: 0.05,
            gap: 0.3,
            events_per_second: 120.0,
        },
    ),
    (
        "ETH",
        Preset {
            price: 2_650.0,
            tick_decimals: 2,
            kraken_decimals: 2,
            lot_decimals: 4,
            typical_qty: 0.8,
            gap: 0.02,
            events_per_second: 100.0,
        },
    ),
    (
        "SOL",
        Preset {
            price: 155.0,
            tick_decimals: 2,
            kraken_decimals: 2,
            lot_decimals: 3,
            typical_qty: 12.0,
            gap: 0.01,
            events_per_second: 70.0,
        },
    ),
    (
        "XRP",
        Preset {
            price: 2.5,
            tick_decimals: 4,
            kraken_decimals: 5,
            lot_decimals: 1,
            typical_qty: 250.0,
            gap: 0.0001,
            events_per_second: 60.0,
        },
    ),
    (
        "BNB",
        Preset {
            price: 520.0,
            tick_decimals: 2,
            kraken_decimals: 2,
            lot_decimals: 3,
            typical_qty: 1.5,
            gap: 0.01,
            events_per_second: 50.0,
        },
    ),
    (
        "DOGE",
        Preset {
            price: 0.25,
            tick_decimals: 5,
            kraken_decimals: 6,
            lot_decimals: 0,
            typical_qty: 4_000.0,
            gap: 0.00001,
            events_per_second: 50.0,
        },
    ),
];
