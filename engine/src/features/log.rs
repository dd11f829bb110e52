//! A natural logarithm that is the same on every machine.
//!
//! C libraries differ in the last bits of theirs, and so would rows, and with them replays. This one splits the number into
//! `m 2^e` with `m` near 1 and sums the series of `ln m = 2 artanh((m - 1) / (m + 1))`: additions, multiplications and one
//! division, each of which IEEE 754 defines to the last bit.

/// `ln x` of a positive integer, to about two units in the last place; 0 for zero and below.
pub(super) fn ln(x: i64) -> f64 {
    if x <= 1 {
        return 0.0;
    }
    let bits = (x as f64).to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & MANTISSA | ONE);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // |z| <= 0.172, so that the first term left out is below 2^-55 of the sum.
    let z = (m - 1.0) / (m + 1.0);
    let square = z * z;
    let series = ODD_RECIPROCALS.iter().rev().fold(0.0, |sum, term| sum * square + term);
    let exponent = exponent as f64;
    exponent * LN_2_HIGH + (exponent * LN_2_LOW + 2.0 * z * series)
}

const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;

/// `1 / (2 k + 1)`.
const ODD_RECIPROCALS: [f64; 11] = [
    1.0,
    1.0 / 3.0,
    1.0 / 5.0,
    1.0 / 7.0,
    1.0 / 9.0,
    1.0 / 11.0,
    1.0 / 13.0,
    1.0 / 15.0,
    1.0 / 17.0,
    1.0 / 19.0,
    1.0 / 21.0,
];

/// `ln 2` in two parts, the first with so few digits that its product with an exponent is exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(x: i64) {
        let (got, expected) = (ln(x), (x as f64).ln());
        assert!(
            (got - expected).abs() <= 4.5e-16 * expected,
            "ln {x}: {got} instead of {expected}"
        );
    }

    #[test]
    fn it_agrees_with_the_library_on_small_numbers_and_around_powers_of_two() {
        for x in 2..100_000 {
            check(x);
        }
        for shift in 2..62 {
            for near in -2..=2 {
                check((1 << shift) + near);
            }
        }
        check(i64::MAX);
        assert_eq!([ln(1), ln(0), ln(-7)].map(f64::to_bits), [0; 3]);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_library(x in 2..=i64::MAX) {
            check(x);
        }
    }
}
