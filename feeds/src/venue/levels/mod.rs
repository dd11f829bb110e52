//! The levels of a book message: pairs of a price and a quantity, hundreds of them in one frame.
//!
//! Nearly all the bytes that a venue sends are levels, so this loop is nearly all that parsing costs. A venue describes
//! the text around its numbers as a [`LevelText`]. Where the processor can shuffle bytes, [`shuffle`] reads a number
//! in one go; the portable road of [`ShapedScaler`] reads what is left: a level of a shape that was not expected. Both
//! accept the same text and find the same numbers.

#[cfg(target_arch = "x86_64")]
mod shuffle;

use crate::decimal::ShapedScaler;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Side};

use super::message::Scalers;

/// The text around the numbers of one venue's levels: what stands before the price of a level, between its price and
/// its quantity, behind its quantity, and from there to the price of the next level.
pub(crate) trait LevelText {
    const OPEN: &'static [u8];
    const BETWEEN: &'static [u8];
    const CLOSE: &'static [u8];
    /// `CLOSE`, a comma, `OPEN`.
    const NEXT: &'static [u8];
    /// `CLOSE` and the bracket behind the last level.
    const LAST: &'static [u8];
}

/// [`Scalers`] that remember the shape of the last levels. Made once per instrument.
#[derive(Clone, Debug)]
pub(crate) struct LevelScalers {
    pub(crate) price: ShapedScaler,
    pub(crate) qty: ShapedScaler,
    #[cfg(target_arch = "x86_64")]
    shapes: Option<shuffle::LevelShapes>,
}

impl LevelScalers {
    pub(crate) fn new(scalers: Scalers) -> Self {
        Self {
            price: ShapedScaler::new(scalers.price),
            qty: ShapedScaler::new(scalers.qty),
            #[cfg(target_arch = "x86_64")]
            shapes: shuffle::LevelShapes::new(scalers),
        }
    }

    pub(crate) fn plain(&self) -> Scalers {
        Scalers {
            price: self.price.scaler(),
            qty: self.qty.scaler(),
        }
    }

    /// The portable road alone.
    #[cfg(test)]
    fn without_shuffle(mut self) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            self.shapes = None;
        }
        self
    }
}

/// Reads a list of levels from behind its opening bracket, appends them to `changes`, and returns what is left behind
/// the closing bracket. `None` where the text is not exactly of the venue's form or a number does not fit its scale;
/// what was appended until there stays.
#[inline(always)]
pub(crate) fn read<'a, T: LevelText>(
    rest: &'a [u8],
    side: Side,
    scalers: &mut LevelScalers,
    changes: &mut Vec<LevelChange>,
) -> Option<&'a [u8]> {
    if let Some(rest) = rest.strip_prefix(b"]") {
        return Some(rest);
    }
    let mut rest = rest.strip_prefix(T::OPEN)?;
    loop {
        #[cfg(target_arch = "x86_64")]
        if let Some(shapes) = &mut scalers.shapes {
            match shapes.read::<T>(rest, side, changes) {
                shuffle::Stop::Last(rest) => return Some(rest),
                shuffle::Stop::Surprise(level) => {
                    shapes.learn::<T>(level);
                    rest = level;
                }
            }
        }
        let (price, behind_price) = scalers.price.scan(rest, T::BETWEEN)?;
        let (qty, behind_qty) = scalers.qty.scan(behind_price, T::CLOSE)?;
        changes.push(LevelChange {
            side,
            price: Price(price),
            qty: Qty(qty),
        });
        match behind_qty
            .strip_prefix(b",")
            .and_then(|level| level.strip_prefix(T::OPEN))
        {
            Some(level) => rest = level,
            None => return behind_qty.strip_prefix(b"]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decimal;
    use crate::types::Scale;

    struct Quoted;

    impl LevelText for Quoted {
        const OPEN: &'static [u8] = b"[\"";
        const BETWEEN: &'static [u8] = b"\",\"";
        const CLOSE: &'static [u8] = b"\"]";
        const NEXT: &'static [u8] = b"\"],[\"";
        const LAST: &'static [u8] = b"\"]]";
    }

    fn list(levels: &[(String, String)]) -> String {
        let levels: Vec<String> = levels
            .iter()
            .map(|(price, qty)| format!("[\"{price}\",\"{qty}\"]"))
            .collect();
        levels.join(",") + "]"
    }

    /// The changes that were read, and what was left behind them.
    type Outcome = (Vec<(i64, i64)>, Option<Vec<u8>>);

    fn outcome(text: &[u8], scalers: &mut LevelScalers) -> Outcome {
        let mut changes = Vec::new();
        let rest = read::<Quoted>(text, Side::Ask, scalers, &mut changes).map(<[u8]>::to_vec);
        assert!(changes.iter().all(|change| change.side == Side::Ask));
        (
            changes.iter().map(|change| (change.price.0, change.qty.0)).collect(),
            rest,
        )
    }

    /// One number at a time, by the rules of [`decimal::parse`].
    fn judge(levels: &[(String, String)], scale: Scale) -> Option<Vec<(i64, i64)>> {
        levels
            .iter()
            .map(|(price, qty)| {
                let price = decimal::parse(price.as_bytes(), scale.price).ok()?;
                Some((price, decimal::parse(qty.as_bytes(), scale.qty).ok()?))
            })
            .collect()
    }

    fn levels(number: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
        proptest::collection::vec((number, number), 0..20)
    }

    fn scalers(scale: Scale) -> LevelScalers {
        LevelScalers::new(Scalers::new(scale).unwrap())
    }

    #[test]
    fn quantities_of_changing_width() {
        let levels: Vec<(String, String)> = ["0.123", "12.000", "0.000", "1234567.891", "7.5", "10.001", "00.100"]
            .into_iter()
            .chain(["100.000"; 9])
            .map(|qty| ("61737.60".to_owned(), qty.to_owned()))
            .collect();
        let expected = [123, 12_000, 0, 1_234_567_891, 7_500, 10_001];
        let text = list(&levels);
        // The seventh quantity has a leading zero: everything up to it is read, and then nothing.
        let (changes, rest) = outcome(text.as_bytes(), &mut scalers(Scale { price: 1, qty: 3 }));
        assert_eq!(changes, expected.map(|qty| (617_376, qty)));
        assert_eq!(rest, None);
    }

    #[test]
    fn every_distance_to_the_end_and_every_cut_is_read_alike() {
        let scale = Scale { price: 2, qty: 3 };
        for levels in [
            &[("61737.63", "10.546")][..],
            &[("1.0", "2.0")],
            &[("0.5", "1234567.891"), ("0.5", "0.001"), ("0.5", "10.000")],
            &[("1234567890.25", "1234567890.125")],
            &[("100.00", "1.000"), ("100.25", "x"), ("100.50", "1.000")],
        ] {
            let levels: Vec<(String, String)> = levels
                .iter()
                .map(|(price, qty)| (price.to_string(), qty.to_string()))
                .collect();
            let (mut shuffled, mut portable) = (scalers(scale), scalers(scale).without_shuffle());
            outcome(list(&levels).as_bytes(), &mut shuffled); // learns the shapes
            for behind in 0..=80 {
                let text = list(&levels) + &"5".repeat(behind);
                for cut in 0..=text.len() {
                    let text = &text.as_bytes()[..cut];
                    let shown = String::from_utf8_lossy(text);
                    assert_eq!(outcome(text, &mut shuffled), outcome(text, &mut portable), "{shown}");
                }
                if let Some(expected) = judge(&levels, scale) {
                    let (changes, rest) = outcome(text.as_bytes(), &mut shuffled);
                    assert_eq!(
                        (changes, rest.map(|rest| rest.len())),
                        (expected, Some(behind)),
                        "{text}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_one_number_at_a_time(
            levels in prop_oneof![
                levels("[1-9][0-9]{4}\\.[0-9]{2}"),
                levels("[0-9]{1,3}\\.[0-9]{3}"),
                levels("[0-9]{1,9}\\.[0-9]{1,4}0{0,6}"),
                levels("[0-9]{1,12}(\\.[0-9]{1,3}0{0,9})?"),
            ],
            tail in prop_oneof![Just(String::new()), "[\\[\\]\",a0.]{0,80}"],
            price in 0_u8..=18,
            qty in 0_u8..=9,
        ) {
            let scale = Scale { price, qty };
            let text = list(&levels) + &tail;
            let mut shuffled = scalers(scale);
            for _ in 0..2 {
                // The second time, the shapes are known.
                let (changes, rest) = outcome(text.as_bytes(), &mut shuffled);
                match judge(&levels, scale) {
                    Some(expected) => {
                        prop_assert_eq!(&changes, &expected, "{}", text);
                        prop_assert_eq!(rest.as_deref(), Some(tail.as_bytes()), "{}", text);
                    }
                    None => prop_assert_eq!(rest, None, "{}", text),
                }
            }
        }

        #[test]
        fn both_roads_agree_on_damaged_text(
            levels in levels("[1-9][0-9]{0,4}\\.[0-9]{3}"),
            damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            decimals in 1_u8..=9,
        ) {
            let scale = Scale { price: decimals, qty: decimals };
            let mut text = list(&levels).into_bytes();
            let whole = text.clone();
            for (at, byte) in damages {
                let at = at.index(text.len());
                text[at] = byte;
            }
            let (mut shuffled, mut portable) = (scalers(scale), scalers(scale).without_shuffle());
            prop_assert_eq!(outcome(&whole, &mut shuffled), outcome(&whole, &mut portable));
            let shown = String::from_utf8_lossy(&text).into_owned();
            prop_assert_eq!(outcome(&text, &mut shuffled), outcome(&text, &mut portable), "{}", shown);
        }
    }
}
