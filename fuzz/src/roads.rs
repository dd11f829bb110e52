//! A venue's scanner against its slow road, on the frames of a script.

use quantumflow_feeds::venue::Wire;
use quantumflow_feeds::{Scale, SymbolId, VenueId};

use crate::script;

/// One reader takes the frames as they come and remembers shapes; the other takes the slow road for each. Both must say
/// the same at each of the scales.
pub fn agree<W: Wire>(venue: VenueId, input: &[u8], scales: &[Scale]) {
    for scale in scales {
        let [mut reader, mut slow_reader] = [(); 2].map(|()| {
            let mut reader = W::new(script::symbols(venue).into_iter());
            assert!((0..2).all(|id| reader.set_scale(SymbolId(id), *scale)));
            reader
        });
        let (mut changes, mut slow_changes) = (Vec::new(), Vec::new());
        let (mut prints, mut slow_prints) = (Vec::new(), Vec::new());
        for frame in script::frames(input) {
            let read = reader.parse(frame, &mut changes, &mut prints);
            let slow = slow_reader.parse_slowly(frame, &mut slow_changes, &mut slow_prints);
            let text = String::from_utf8_lossy(frame);
            assert_eq!(read.is_ok(), slow.is_ok(), "{read:?} or {slow:?}: {text}");
            if read.is_ok() {
                assert_eq!(read, slow, "{text}");
                assert_eq!((&changes, &prints), (&slow_changes, &slow_prints), "{text}");
            }
        }
    }
}

/// As many decimals as most numbers have, fewer prices than they need, and other ones than they have.
pub const SCALES: [Scale; 3] = [
    Scale { price: 8, qty: 8 },
    Scale { price: 1, qty: 8 },
    Scale { price: 12, qty: 0 },
];
