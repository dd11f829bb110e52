use std::collections::BTreeMap;

use super::*;
use crate::types::VenueId;

fn preset(symbol: &str, seed: u64, signal: f64) -> Instrument {
    let config = SymbolConfig::preset(VenueId::BinanceSpot, symbol);
    Instrument::new(config, seed, 0, UnixNanos(1_767_571_200_000_000_000), signal)
}

/// The judge: a map per side that only knows "set, zero deletes".
#[derive(Default)]
struct Oracle {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Oracle {
    fn of(instrument: &Instrument) -> Self {
        let side = |side| {
            instrument
                .levels(side)
                .map(|level| (level.price.0, level.qty.0))
                .collect()
        };
        Self {
            bids: side(Side::Bid),
            asks: side(Side::Ask),
        }
    }

    fn apply(&mut self, change: &LevelChange) {
        let side = match change.side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        match change.qty.0 {
            0 => side.remove(&change.price.0),
            qty => side.insert(change.price.0, qty),
        };
    }
}

#[test]
fn steps_rebuild_the_book_with_contiguous_ids_and_never_cross() {
    for symbol in ["BTCUSDT", "ETHUSDT", "XRPUSDT", "NEWUSDT"] {
        let mut instrument = preset(symbol, 7, 1.0);
        let (tick, lot) = (instrument.config().tick.0, instrument.config().lot.0);
        let mut oracle = Oracle::of(&instrument);
        let mut update_id = instrument.update_id();
        let mut time = UnixNanos(0);
        let mut trade_id = None;
        for _ in 0..30_000 {
            let step = instrument.step().clone();
            assert!(step.time > time, "time stands still or runs backwards");
            time = step.time;
            assert_eq!(step.first_update_id, update_id + 1);
            update_id += step.changes.len() as u64;
            assert_eq!(step.last_update_id, update_id);
            for change in &step.changes {
                assert!(
                    change.price.0 > 0 && change.price.0 % tick == 0 && change.qty.0 % lot == 0,
                    "{change:?}"
                );
                oracle.apply(change);
            }
            for trade in &step.trades {
                assert!(trade.qty.0 > 0);
                assert_eq!(trade.trade_id, trade_id.map_or(trade.trade_id, |id: u64| id + 1));
                trade_id = Some(trade.trade_id);
            }
            let (bid, ask) = (
                oracle.bids.last_key_value().unwrap(),
                oracle.asks.first_key_value().unwrap(),
            );
            assert!(bid.0 < ask.0, "crossed at {update_id}");
            let best = (instrument.best(Side::Bid), instrument.best(Side::Ask));
            assert_eq!(
                (best.0.price.0, best.0.qty.0, best.1.price.0, best.1.qty.0),
                (*bid.0, *bid.1, *ask.0, *ask.1)
            );
        }
        let truth = Oracle::of(&instrument);
        assert_eq!((truth.bids, truth.asks), (oracle.bids, oracle.asks));
        for side in [Side::Bid, Side::Ask] {
            assert!(
                instrument.level_count(side) >= 1_000,
                "{symbol} {side:?} has {}",
                instrument.level_count(side)
            );
            assert_eq!(instrument.book().level_count(side), instrument.level_count(side));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_market_and_another_seed_another() {
    let steps = |seed| {
        let mut market = Market::new(&MarketConfig::preset(VenueId::KrakenV2, &["BTC/USD", "ETH/USD"], seed));
        (0..2_000)
            .map(|_| {
                let index = market.step().unwrap();
                let step = market.instruments()[index].last_step();
                (index, step.time, step.last_update_id, step.changes.clone())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(1), steps(1));
    assert_ne!(steps(1), steps(2));
    let times: Vec<_> = steps(3).into_iter().map(|step| step.1).collect();
    assert!(times.is_sorted(), "instruments are merged in the order of time");
}

/// What a subscriber could compute from the top of the book and the tape, per event.
#[derive(Default)]
struct Observed {
    mid: Vec<f64>,
    spread_ticks: Vec<f64>,
    /// Order-flow imbalance at the touch (Cont, Kukanov, Stoikov 2014, equation 2), in typical sizes.
    ofi: Vec<f64>,
    queue_imbalance: Vec<f64>,
    microprice_lead: Vec<f64>,
    trade_flow: Vec<f64>,
    time_ns: Vec<u64>,
    mispricing_gaps: Vec<f64>,
}

fn observe(instrument: &mut Instrument, events: usize) -> Observed {
    let mut seen = Observed::default();
    let tick = instrument.config().tick.0 as f64;
    let typical = instrument.config().typical_qty.0 as f64;
    let mut before = (instrument.best(Side::Bid), instrument.best(Side::Ask));
    for _ in 0..events {
        let step = instrument.step();
        let flow: f64 = step
            .trades
            .iter()
            .map(|trade| {
                if trade.aggressor == Side::Bid {
                    trade.qty.0 as f64
                } else {
                    -(trade.qty.0 as f64)
                }
            })
            .sum();
        seen.trade_flow.push(flow / typical);
        seen.time_ns.push(step.time.0);
        let now = (instrument.best(Side::Bid), instrument.best(Side::Ask));
        let (bid, ask) = (now.0.qty.0 as f64, now.1.qty.0 as f64);
        let (bid_price, ask_price) = (now.0.price.0 as f64 / tick, now.1.price.0 as f64 / tick);
        let mut ofi = 0.0;
        if now.0.price >= before.0.price {
            ofi += bid;
        }
        if now.0.price <= before.0.price {
            ofi -= before.0.qty.0 as f64;
        }
        if now.1.price <= before.1.price {
            ofi -= ask;
        }
        if now.1.price >= before.1.price {
            ofi += before.1.qty.0 as f64;
        }
        seen.ofi.push(ofi / typical);
        seen.mid.push((bid_price + ask_price) / 2.0);
        seen.spread_ticks.push(ask_price - bid_price);
        seen.queue_imbalance.push((bid - ask) / (bid + ask));
        seen.microprice_lead
            .push((ask_price * bid + bid_price * ask) / (bid + ask) - seen.mid[seen.mid.len() - 1]);
        seen.mispricing_gaps
            .push(instrument.mispricing_ticks() / instrument.config().gap_ticks);
        before = now;
    }
    seen
}

fn correlation(xs: &[f64], ys: &[f64]) -> f64 {
    let n = xs.len() as f64;
    let (mean_x, mean_y) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in xs.iter().zip(ys) {
        xy += (x - mean_x) * (y - mean_y);
        xx += (x - mean_x) * (x - mean_x);
        yy += (y - mean_y) * (y - mean_y);
    }
    xy / (xx * yy).sqrt()
}

/// The mean of the last `window` values at each of `at`.
fn trailing(values: &[f64], window: usize, at: &[usize]) -> Vec<f64> {
    at.iter()
        .map(|&i| values[i + 1 - window..=i].iter().sum::<f64>() / window as f64)
        .collect()
}

struct Predictive {
    ofi: f64,
    queue_imbalance: f64,
    microprice: f64,
    trade_flow: f64,
    share_up: f64,
    share_flat: f64,
    share_down: f64,
    samples: usize,
}

/// Correlations with the move of the mid over the next `horizon` events, on samples that do not overlap.
fn predictive(seen: &Observed, window: usize, horizon: usize) -> Predictive {
    let at: Vec<usize> = (window..seen.mid.len() - horizon).step_by(horizon).collect();
    let future: Vec<f64> = at.iter().map(|&i| seen.mid[i + horizon] - seen.mid[i]).collect();
    let share = |test: fn(f64) -> bool| future.iter().filter(|&&move_| test(move_)).count() as f64 / at.len() as f64;
    Predictive {
        ofi: correlation(&trailing(&seen.ofi, window, &at), &future),
        queue_imbalance: correlation(&trailing(&seen.queue_imbalance, 1, &at), &future),
        microprice: correlation(&trailing(&seen.microprice_lead, 1, &at), &future),
        trade_flow: correlation(&trailing(&seen.trade_flow, window, &at), &future),
        share_up: share(|m| m > 0.0),
        share_flat: share(|m| m == 0.0),
        share_down: share(|m| m < 0.0),
        samples: at.len(),
    }
}

#[test]
fn order_flow_leads_the_price_and_labels_are_balanced() {
    for symbol in ["BTCUSDT", "ETHUSDT", "SOLUSDT"] {
        let seen = observe(&mut preset(symbol, 11, 1.0), 200_000);
        let seconds = (seen.time_ns[seen.time_ns.len() - 1] - seen.time_ns[0]) as f64 / 1e9;
        let one_tick = seen.spread_ticks.iter().filter(|&&s| s == 1.0).count() as f64 / seen.mid.len() as f64;
        let moved = seen.mid.windows(2).filter(|w| w[0] != w[1]).count() as f64 / seen.mid.len() as f64;
        let burst = (0..seen.time_ns.len())
            .map(|i| seen.time_ns[i..].partition_point(|&t| t < seen.time_ns[i] + 100_000_000))
            .max()
            .unwrap();
        let trades = seen.trade_flow.iter().filter(|&&f| f != 0.0).count() as f64 / seen.mid.len() as f64;
        println!(
            "{symbol}: {:.0} events/s, most in 100 ms {burst}, spread one tick {one_tick:.2}, mean {:.1} ticks, \
             mid moves on {moved:.3} of events, trades on {trades:.3}, range {:.0} ticks",
            seen.mid.len() as f64 / seconds,
            seen.spread_ticks.iter().sum::<f64>() / seen.mid.len() as f64,
            seen.mid.iter().fold(0.0, |a: f64, &b| a.max(b)) - seen.mid.iter().fold(f64::MAX, |a, &b| a.min(b)),
        );
        let rms = (seen.mispricing_gaps.iter().map(|z| z * z).sum::<f64>() / seen.mid.len() as f64).sqrt();
        println!("  rms mispricing {rms:.2} gaps");
        assert!(rms < 5.0, "the book lost its fair value");
        for horizon in [10, 20, 50, 200] {
            let p = predictive(&seen, 20, horizon);
            println!(
                "  horizon {horizon}: ofi {:.3}, queue imbalance {:.3}, microprice {:.3}, trade flow {:.3}; up {:.2} \
                 flat {:.2} down {:.2}, {} samples",
                p.ofi, p.queue_imbalance, p.microprice, p.trade_flow, p.share_up, p.share_flat, p.share_down, p.samples
            );
        }
        let p = predictive(&seen, 20, 20);
        // With n samples and no relation, a correlation stays within 4 / sqrt(n) but for one seed in ten thousand.
        let noise = 4.0 / (p.samples as f64).sqrt();
        assert!(
            p.ofi > 2.0 * noise && p.trade_flow > 2.0 * noise,
            "flow does not lead: {} {}",
            p.ofi,
            p.trade_flow
        );
        assert!(p.queue_imbalance > 2.0 * noise, "{}", p.queue_imbalance);
        assert!((0.15..0.45).contains(&p.share_up) && (0.15..0.45).contains(&p.share_down));
        assert!((p.share_up - p.share_down).abs() < 0.05);
        let c = predictive(&observe(&mut preset(symbol, 11, 0.0), 200_000), 20, 20);
        println!(
            "  signal 0: ofi {:.3}, queue imbalance {:.3}, trade flow {:.3}",
            c.ofi, c.queue_imbalance, c.trade_flow
        );
        assert!(
            c.trade_flow.abs() < noise,
            "the tape leads where nobody knows anything: {}",
            c.trade_flow
        );
        assert!(c.trade_flow < p.trade_flow / 2.0 && c.ofi < p.ofi);
    }
}
