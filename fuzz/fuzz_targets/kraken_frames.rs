//! Any script of frames, snapshots and timers to a Kraken session: what it shows is a sound book, the last one and the
//! changes that it told; and the scanner reads a frame as the slow road does.
//!
//! Input: a script, as `quantumflow_fuzz::script` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::VenueId;
use quantumflow_feeds::venue::kraken::Parser;
use quantumflow_fuzz::{roads, script};

fuzz_target!(
    init: quantumflow_fuzz::plant(script::seeds(VENUE)),
    |input: &[u8]| {
        script::play(VENUE, input);
        roads::agree::<Parser>(VENUE, input, &roads::SCALES);
    }
);

const VENUE: VenueId = VenueId::KrakenV2;
