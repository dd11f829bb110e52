//! Any script of frames and timers to a session of either feed of Coinbase: what it shows is a sound book, the last one
//! and the changes that it told; and the scanner reads a frame as the slow road does.
//!
//! Input: a script, as `quantumflow_fuzz::script` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::venue::{Wire, coinbase, coinbase_exchange};
use quantumflow_feeds::{Scale, SymbolId, VenueId};
use quantumflow_fuzz::script;

fuzz_target!(
    init: quantumflow_fuzz::plant(VENUES.map(script::seeds).concat()),
    |input: &[u8]| {
        for venue in VENUES {
            script::play(venue, input);
        }
        for scale in SCALES {
            agree::<coinbase::Parser>(input, scale);
            agree::<coinbase_exchange::Parser>(input, scale);
        }
    }
);

/// One parser reads the frames as they come and remembers shapes; the other takes the slow road for each.
fn agree<W: Wire>(input: &[u8], scale: Scale) {
    let [mut parser, mut slow_parser] = [(); 2].map(|()| {
        let mut parser = W::new(script::symbols(VENUES[0]).into_iter());
        assert!((0..2).all(|id| parser.set_scale(SymbolId(id), scale)));
        parser
    });
    let (mut changes, mut slow_changes) = (Vec::new(), Vec::new());
    let (mut prints, mut slow_prints) = (Vec::new(), Vec::new());
    for frame in script::frames(input) {
        let read = parser.parse(frame, &mut changes, &mut prints);
        let slow = slow_parser.parse_slowly(frame, &mut slow_changes, &mut slow_prints);
        assert_eq!(
            read.is_ok(),
            slow.is_ok(),
            "{read:?} or {slow:?}: {}",
            String::from_utf8_lossy(frame)
        );
        if read.is_ok() {
            assert_eq!(read, slow, "{}", String::from_utf8_lossy(frame));
            assert_eq!(
                (&changes, &prints),
                (&slow_changes, &slow_prints),
                "{}",
                String::from_utf8_lossy(frame)
            );
        }
    }
}

const VENUES: [VenueId; 2] = [VenueId::CoinbaseAdvanced, VenueId::CoinbaseExchange];

const SCALES: [Scale; 3] = [
    Scale { price: 8, qty: 8 },
    Scale { price: 1, qty: 8 },
    Scale { price: 12, qty: 0 },
];
