//! A venue to test against: real protocol, real sockets, recorded or generated market.

pub mod market;
