//! Any script of frames, snapshots and timers to a session of Binance's futures: what it shows is a sound book, the last
//! one and the changes that it told; and the scanner reads a frame as the slow road does.
//!
//! Input: a script, as `quantumflow_fuzz::script` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::venue::binance::UsdmParser;
use quantumflow_feeds::{Scale, VenueId};
use quantumflow_fuzz::{roads, script};

fuzz_target!(
    init: quantumflow_fuzz::plant(script::seeds(VENUE)),
    |input: &[u8]| {
        script::play(VENUE, input);
        roads::agree::<UsdmParser>(VENUE, input, &SCALES);
    }
);

const VENUE: VenueId = VenueId::BinanceUsdm;

const SCALES: [Scale; 3] = [
    Scale { price: 2, qty: 3 },
    Scale { price: 1, qty: 8 },
    Scale { price: 12, qty: 0 },
];
