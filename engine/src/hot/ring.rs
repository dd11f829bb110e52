//! Predictions into the signal ring.

use quantumflow_feeds::{Instrument, Scale, Side};
use quantumflow_region::{Signal, SignalWriter};

use crate::model::{Class, Model};

use super::predict::{Output, Prediction, SymbolOrigin};

/// So many champions an engine can have in its life: the ring keeps a table of them, and a swap must not allocate.
pub const GENERATIONS_MAX: usize = 1024;

/// An [`Output`] that publishes to strategies through shared memory.
#[derive(Debug)]
pub struct RingOutput {
    ring: SignalWriter,
    /// By generation: the ring's id, if it had room, and the hash.
    champions: Vec<(Option<u16>, u64)>,
    /// By place in the shard.
    symbols: Vec<RingSymbol>,
    /// Signals of instruments or models that found no room in the ring's tables.
    unpublished: u64,
}

/// An instrument in the ring's table. Its scale is known from its first book on; another scale is another entry, so
/// that a reader never puts a new mantissa on an old scale.
#[derive(Debug)]
struct RingSymbol {
    origin: SymbolOrigin,
    entry: Option<(Scale, Option<u16>)>,
}

impl RingOutput {
    /// An output for the instruments of a shard.
    pub fn new(ring: SignalWriter, symbols: &[SymbolOrigin]) -> Self {
        let symbols = symbols
            .iter()
            .map(|origin| RingSymbol {
                origin: origin.clone(),
                entry: None,
            })
            .collect();
        Self {
            ring,
            champions: Vec::with_capacity(GENERATIONS_MAX),
            symbols,
            unpublished: 0,
        }
    }

    /// How many signals found no place in the ring's tables of instruments and models.
    pub fn unpublished(&self) -> u64 {
        self.unpublished
    }

    /// The id of an instrument, which the ring is told when its scale is first known or has changed.
    #[inline]
    fn symbol_id(&mut self, place: usize, instrument: &Instrument) -> Option<u16> {
        match self.symbols.get(place)?.entry {
            Some((scale, id)) if scale == instrument.scale => id,
            _ => self.add_symbol(place, instrument.scale),
        }
    }

    #[cold]
    fn add_symbol(&mut self, place: usize, scale: Scale) -> Option<u16> {
        let RingSymbol { origin, entry } = self.symbols.get_mut(place)?;
        let id = self
            .ring
            .add_symbol(origin.venue.name(), &origin.symbol, scale.price, scale.qty)
            .ok();
        *entry = Some((scale, id));
        id
    }
}

impl Output for RingOutput {
    fn champion(&mut self, generation: u16, model: &Model) {
        debug_assert_eq!(usize::from(generation), self.champions.len(), "generations are counted");
        // Its horizon is counted in book updates: it has no length in time.
        let id = self
            .ring
            .add_model(&model.contract().name, model.hash(), 0, Class::ALL.map(Class::name));
        self.champions.push((id.ok(), model.hash()));
    }

    #[inline]
    fn publish(&mut self, prediction: &Prediction<'_>) {
        let update = prediction.update;
        let symbol_id = self.symbol_id(prediction.symbol as usize, update.instrument);
        let champion = self.champions.get(usize::from(prediction.generation));
        let (Some(symbol_id), Some(&(Some(model_id), model_hash))) = (symbol_id, champion) else {
            self.unpublished += 1;
            return;
        };
        let top = |side| {
            update
                .book
                .best(side)
                .map_or((0, 0), |level| (level.price.0, level.qty.0))
        };
        let ((bid_price, bid_qty), (ask_price, ask_qty)) = (top(Side::Bid), top(Side::Ask));
        let kernel_time_ns = prediction.kernel_time.map_or(0, |time| time.0);
        let began = prediction.kernel_time.unwrap_or(prediction.receive_time);
        self.ring.publish(&Signal {
            symbol_id,
            model_id,
            class: prediction.signal as u8,
            quality: update.quality as u8,
            flags: match prediction.beyond_horizon {
                true => Signal::BEYOND_HORIZON,
                false => 0,
            },
            update_id: update.update_id,
            exchange_time_ns: update.exchange_time.0,
            receive_time_ns: prediction.receive_time.0,
            publish_time_ns: prediction.publish_time.0,
            probabilities: prediction.model.probabilities,
            confidence: prediction.model.confidence,
            bid_price,
            bid_qty,
            ask_price,
            ask_qty,
            model_hash,
            total_latency_ns: prediction.publish_time.since(began).max(0) as u64,
            kernel_time_ns,
            ..Signal::default()
        });
    }
}
