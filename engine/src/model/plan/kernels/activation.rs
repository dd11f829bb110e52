//! Functions of one element.
//!
//! But for logarithms and powers, no libm: the same bits on every machine with the same vectors. `tanh` is the rational
//! approximation that Eigen made known (odd polynomial of degree 13 over an even one of degree 6), right to a few units of
//! the last place; `sigmoid` is made of it, `sigma(x) = 1/2 + 1/2 tanh(x/2)`; `exp` is Cephes' (Moshier 1989).

use pulp::Simd;

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Identity,
    Relu,
    /// The slope below zero.
    LeakyRelu(f32),
    Sigmoid,
    Tanh,
    Exp,
    Log,
    Sqrt,
    Abs,
    Neg,
    Reciprocal,
    Clip(f32, f32),
    Elu(f32),
    Selu(f32, f32),
    Softplus,
    Softsign,
    HardSigmoid(f32, f32),
    Erf,
}

impl Activation {
    /// Of a vector.
    #[inline(always)]
    pub(super) fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        match self {
            Self::Identity => x,
            Self::Relu => simd.max_f32s(simd.splat_f32s(0.0), x),
            Self::LeakyRelu(slope) => {
                let zero = simd.splat_f32s(0.0);
                let below = simd.mul_f32s(simd.min_f32s(zero, x), simd.splat_f32s(slope));
                simd.add_f32s(simd.max_f32s(zero, x), below)
            }
            Self::Sigmoid => sigmoid(simd, x),
            Self::Tanh => tanh(simd, x),
            Self::Exp => exp(simd, x),
            other => each(simd, x, |x| other.of_one(x)),
        }
    }

    /// Of several vectors: what it is is asked once.
    #[inline(always)]
    pub(super) fn of_all<S: Simd, const N: usize>(self, simd: S, all: &mut [S::f32s; N]) {
        // Loops and no closures: those are not always inlined, and would then run without vectors.
        match self {
            Self::Identity => {}
            Self::Relu => {
                for x in all {
                    *x = Self::Relu.of(simd, *x);
                }
            }
            Self::LeakyRelu(slope) => {
                for x in all {
                    *x = Self::LeakyRelu(slope).of(simd, *x);
                }
            }
            Self::Tanh => {
                for x in all {
                    *x = tanh(simd, *x);
                }
            }
            other => {
                for x in all {
                    *x = other.of(simd, *x);
                }
            }
        }
    }

    /// Of one element. The same to the bit as in a vector of scalars.
    pub(in super::super) fn of_one(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::LeakyRelu(slope) => x.max(0.0) + slope * x.min(0.0),
            Self::Sigmoid => sigmoid(pulp::Scalar::new(), x),
            Self::Tanh => tanh(pulp::Scalar::new(), x),
            Self::Exp => exp_of_one(x),
            Self::Log => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Abs => x.abs(),
            Self::Neg => -x,
            Self::Reciprocal => 1.0 / x,
            Self::Clip(low, high) => x.max(low).min(high),
            Self::Elu(alpha) => {
                if x > 0.0 {
                    x
                } else {
                    alpha * (exp_of_one(x) - 1.0)
                }
            }
            Self::Selu(alpha, gamma) => gamma * if x > 0.0 { x } else { alpha * (exp_of_one(x) - 1.0) },
            Self::Softplus => x.max(0.0) + (1.0 + exp_of_one(-x.abs())).ln(),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::HardSigmoid(alpha, beta) => (alpha * x + beta).clamp(0.0, 1.0),
            Self::Erf => erf(x),
        }
    }
}

/// A function of each lane. For those that no hot model has.
#[inline(always)]
fn each<S: Simd>(simd: S, x: S::f32s, function: impl Fn(f32) -> f32) -> S::f32s {
    let mut lanes = [0.0_f32; super::super::step::LANES];
    let lanes = &mut lanes[..S::F32_LANES];
    simd.partial_store_f32s(lanes, x);
    for lane in &mut *lanes {
        *lane = function(*lane);
    }
    simd.partial_load_f32s(lanes)
}

#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Beyond this the nearest float is one.
    let (least, greatest) = (simd.splat_f32s(-7.905_311), simd.splat_f32s(7.905_311));
    let x = simd.max_f32s(least, simd.min_f32s(greatest, x));
    let square = simd.mul_f32s(x, x);
    let odd = polynomial(
        simd,
        square,
        [
            -2.760_768_5e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_3e-5,
            6.372_619e-4,
            4.893_524_6e-3,
        ],
    );
    let even = polynomial(
        simd,
        square,
        [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3],
    );
    simd.div_f32s(simd.mul_f32s(x, odd), even)
}

/// The coefficient of the highest power comes first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

/// `sigma(2x)`: for who has halved x already.
#[inline(always)]
pub(super) fn sigmoid_of_half<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let half = simd.splat_f32s(0.5);
    simd.mul_add_e_f32s(half, tanh(simd, x), half)
}

#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    sigmoid_of_half(simd, simd.mul_f32s(simd.splat_f32s(0.5), x))
}

/// e to the power of x; NaN stays NaN.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (least, greatest) = (simd.splat_f32s(-104.0), simd.splat_f32s(89.0));
    let within = simd.max_f32s(least, simd.min_f32s(greatest, x));
    // The nearest whole power of two is what the last bits of this sum hold: no fraction has room beside it.
    let no_fraction = simd.splat_f32s(12_582_912.0);
    let shifted = simd.mul_add_e_f32s(within, simd.splat_f32s(std::f32::consts::LOG2_E), no_fraction);
    let whole = simd.sub_f32s(shifted, no_fraction);
    // ln 2 in two parts, the first with few bits.
    let rest = simd.mul_add_e_f32s(whole, simd.splat_f32s(-0.693_359_4), within);
    let rest = simd.mul_add_e_f32s(whole, simd.splat_f32s(2.121_944_4e-4), rest);
    let sum = polynomial(
        simd,
        rest,
        [
            1.987_569_1e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            0.166_666_65,
            0.5,
        ],
    );
    let fraction = simd.mul_add_e_f32s(
        sum,
        simd.mul_f32s(rest, rest),
        simd.add_f32s(rest, simd.splat_f32s(1.0)),
    );
    // In two steps: the powers of very small results are no floats by themselves. Both exponents have their bias already.
    let biased = simd.sub_u32s(
        simd.transmute_u32s_f32s(shifted),
        simd.splat_u32s(12_582_912_f32.to_bits() - 2 * 127),
    );
    let first = simd.wrapping_dyn_shr_u32s(biased, simd.splat_u32s(1));
    let power = |exponent: S::u32s| simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23)));
    let scaled = simd.mul_f32s(fraction, power(first));
    let value = simd.mul_f32s(scaled, power(simd.sub_u32s(biased, first)));
    simd.select_f32s(simd.equal_f32s(x, x), value, x)
}

/// The same of one.
pub(super) fn exp_of_one(x: f32) -> f32 {
    exp(pulp::Scalar::new(), x)
}

/// Abramowitz and Stegun 7.1.26 is not enough for floats: this is the power series near zero, and one less the continued
/// fraction of the complement beyond.
fn erf(x: f32) -> f32 {
    let z = f64::from(x).abs();
    let value = if z < 2.5 {
        let mut term = z;
        let mut sum = z;
        for n in 1..60 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..=40).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (z + tail));
        1.0 - (-z * z).exp() / ((z + fraction) * std::f64::consts::PI.sqrt())
    };
    (value as f32).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `f64`, in units of the last place.
    fn worst(function: impl Fn(f32) -> f32, truth: impl Fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let steps = 200_000;
        let error = |step: i32| {
            let x = low + (high - low) * step as f32 / steps as f32;
            let truth = truth(f64::from(x));
            let unit = f64::from((truth as f32).abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
            (f64::from(function(x)) - truth).abs() / unit
        };
        (0..=steps).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn they_are_right_to_a_few_units_of_the_last_place() {
        let tanh = |x| Activation::Tanh.of_one(x);
        assert!(worst(tanh, f64::tanh, -9.0, 9.0) < 6.0);
        assert!(worst(exp_of_one, f64::exp, -87.0, 88.7) < 2.0);
        assert!(worst(erf, |x| f64::from(libm_erf(x)), -4.0, 4.0) < 2.0);
        let sigmoid = |x| Activation::Sigmoid.of_one(x);
        for x in [-30.0_f32, -5.0, -0.1, 0.0, 0.3, 7.0, 40.0] {
            let truth = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid(x)) - truth).abs() < 1.5e-7, "{x}");
        }
    }

    /// By Simpson's rule, which knows no series.
    fn libm_erf(x: f64) -> f32 {
        let steps = 2_000;
        let width = x / f64::from(steps);
        let at = |step: i32| (-(width * f64::from(step)).powi(2)).exp();
        let inner: f64 = (1..steps)
            .map(|step| if step % 2 == 1 { 4.0 } else { 2.0 } * at(step))
            .sum();
        ((at(0) + inner + at(steps)) * width / 3.0 * std::f64::consts::FRAC_2_SQRT_PI) as f32
    }

    #[test]
    fn exponentials_have_their_ends() {
        assert_eq!(exp_of_one(-200.0), exp_of_one(-104.0));
        assert!(exp_of_one(-103.0) > 0.0 && exp_of_one(-103.9) < 1e-44);
        assert!(exp_of_one(200.0) == f32::INFINITY && exp_of_one(88.7).is_finite() && exp_of_one(f32::NAN).is_nan());
        assert_eq!(exp_of_one(0.0), 1.0);
    }
}
