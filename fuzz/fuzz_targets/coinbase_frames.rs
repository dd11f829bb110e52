//! Any script of frames and timers to a session of either feed of Coinbase: what it shows is a sound book, the last one
//! and the changes that it told; and the scanner reads a frame as the slow road does.
//!
//! Input: a script, as `quantumflow_fuzz::script` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::venue::{coinbase, coinbase_exchange};
use quantumflow_fuzz::{roads, script};

fuzz_target!(
    init: quantumflow_fuzz::plant(VENUES.map(script::seeds).concat()),
    |input: &[u8]| {
        for venue in VENUES {
            script::play(venue, input);
        }
        roads::agree::<coinbase::Parser>(VENUES[0], input, &roads::SCALES);
        roads::agree::<coinbase_exchange::Parser>(VENUES[1], input, &roads::SCALES);
    }
);

const VENUES: [VenueId; 2] = [VenueId::CoinbaseAdvanced, VenueId::CoinbaseExchange];
