//! Any script of frames, snapshots and timers to a session of Binance's futures: what it shows is a sound book, the last
//! one and the changes that it told; and the scanner reads a frame as the slow road does.
//!
//! Input: a script, as `quantumflow_fuzz::script` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quantumflow_feeds::venue::Wire as _;
use quantumflow_feeds::venue::binance::UsdmParser;
use quantumflow_feeds::{Scale, SymbolId, VenueId};
use quantumflow_fuzz::script;

fuzz_target!(
    init: quantumflow_fuzz::plant(script::seeds(VENUE)),
    |input: &[u8]| {
        script::play(VENUE, input);
        for scale in SCALES {
            agree(input, scale);
        }
    }
);

/// One parser reads the frames as they come and remembers shapes; the other takes the slow road for each.
fn agree(input: &[u8], scale: Scale) {
    let [mut parser, mut slow_parser] = [(); 2].map(|()| {
        let mut parser = UsdmParser::new(script::symbols(VENUE).into_iter());
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
            assert_eq!(changes, slow_changes, "{}", String::from_utf8_lossy(frame));
            assert_eq!(prints, slow_prints, "{}", String::from_utf8_lossy(frame));
        }
    }
}

const VENUE: VenueId = VenueId::BinanceUsdm;

const SCALES: [Scale; 3] = [
    Scale { price: 2, qty: 3 },
    Scale { price: 1, qty: 8 },
    Scale { price: 12, qty: 0 },
];
