//! Decimal text to fixed point, without a float.
