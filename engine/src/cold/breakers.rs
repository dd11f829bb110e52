//! One circuit breaker for each venue, shared by the threads that go to it.
//!
//! The dialler asks before each attempt and reports how it ended; the thread that fetches snapshots reports what the
//! venue answers, because a venue that limits requests means the address and not the socket. What the breakers did is
//! read by the housekeeping thread. Cold threads may take a lock; each holds it for a few instructions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::net::{Breaker, BreakerOptions, BreakerState, BreakerTotals, Wait};

use crate::os::wall_clock;

/// The breakers of all venues that are configured. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Breakers(Arc<[(VenueId, Mutex<Breaker>)]>);

impl Breakers {
    /// Closed ones, one for each venue that occurs.
    pub fn new(venues: impl IntoIterator<Item = VenueId>) -> Self {
        let mut distinct: Vec<VenueId> = Vec::new();
        for venue in venues {
            if !distinct.contains(&venue) {
                distinct.push(venue);
            }
        }
        let breaker = |venue| {
            let seed = rand::random(); // hosts that lost a venue together should not come back together
            let breaker = Breaker::new(BreakerOptions::default(), seed).expect("the defaults are within their limits");
            (venue, Mutex::new(breaker))
        };
        Self(distinct.into_iter().map(breaker).collect())
    }

    /// Whether an attempt may go now; who goes reports its end.
    ///
    /// # Errors
    /// Until when it must wait.
    pub fn permits(&self, venue: VenueId) -> Result<(), Wait> {
        self.with(venue, |breaker| breaker.permits(wall_clock()))
            .unwrap_or(Ok(()))
    }

    /// Whether the venue is in no trouble. Without a consequence for the breaker: for what can be left out.
    pub fn is_closed(&self, venue: VenueId) -> bool {
        let state = self.with(venue, |breaker| breaker.state());
        state.is_none_or(|state| state == BreakerState::Closed)
    }

    /// A book of the venue is shown.
    pub fn succeeded(&self, venue: VenueId) {
        self.with(venue, |breaker| breaker.succeeded(wall_clock()));
    }

    /// An attempt ended without one, or a connection was lost.
    pub fn failed(&self, venue: VenueId) {
        self.with(venue, |breaker| breaker.failed(wall_clock()));
    }

    /// The venue itself said to stay away.
    pub fn told_to_stay_away(&self, venue: VenueId, retry_after: Option<Duration>) {
        self.with(venue, |breaker| breaker.told_to_stay_away(wall_clock(), retry_after));
    }

    /// State and totals of each.
    pub fn read(&self) -> Vec<(VenueId, BreakerState, BreakerTotals)> {
        let all = self.0.iter().map(|(venue, breaker)| {
            let breaker = breaker.lock().unwrap_or_else(PoisonError::into_inner);
            (*venue, breaker.state(), breaker.totals())
        });
        all.collect()
    }

    fn with<T>(&self, venue: VenueId, work: impl FnOnce(&mut Breaker) -> T) -> Option<T> {
        let (_, breaker) = self.0.iter().find(|(other, _)| *other == venue)?;
        // A thread that panicked in here left counters behind, nothing that another could trip over.
        Some(work(&mut breaker.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_venue_in_trouble_leaves_the_others_alone() {
        let venues = [VenueId::BinanceSpot, VenueId::KrakenV2, VenueId::BinanceSpot];
        let breakers = Breakers::new(venues);
        assert_eq!(breakers.read().len(), 2);
        for _ in 0..BreakerOptions::default().failures {
            assert!(breakers.permits(VenueId::BinanceSpot).is_ok());
            breakers.failed(VenueId::BinanceSpot);
        }
        assert!(breakers.permits(VenueId::BinanceSpot).is_err());
        assert!(!breakers.is_closed(VenueId::BinanceSpot) && breakers.is_closed(VenueId::KrakenV2));
        assert!(breakers.permits(VenueId::KrakenV2).is_ok());
        breakers.told_to_stay_away(VenueId::KrakenV2, Some(Duration::from_secs(60)));
        assert!(breakers.permits(VenueId::KrakenV2).is_err());
    }
}
