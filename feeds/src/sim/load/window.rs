//! The busiest moment of a recording.

use std::path::Path;

use crate::capture::{CaptureError, CaptureReader, Record};

/// When the frames of a recording were received, in nanoseconds. Bad lines are passed over.
///
/// # Errors
/// A file cannot be opened or read.
pub fn arrival_times<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Vec<u64>, CaptureError> {
    let mut reader = CaptureReader::open(files)?;
    let mut times = Vec::new();
    loop {
        match reader.next_record() {
            Ok(None) => return Ok(times),
            Ok(Some(Record::Frame { receive_time, .. })) => times.push(receive_time.0),
            Ok(Some(_)) | Err(CaptureError::BadLine { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The densest `window_ns` of a list of arrival times, as offsets from its first arrival: what [`LoadShape::Replay`]
/// plays. The window is half open, so arrivals `window_ns` apart are not in one; of equal windows it is the earliest.
/// The times may come in any order. Empty only where there is no arrival.
///
/// [`LoadShape::Replay`]: super::LoadShape::Replay
pub fn densest_window(arrivals_ns: &[u64], window_ns: u64) -> Vec<u64> {
    let mut times = arrivals_ns.to_vec();
    times.sort_unstable();
    let mut densest = 0..0;
    let mut end = 0;
    for start in 0..times.len() {
        while times
            .get(end)
            .is_some_and(|time| end <= start || time - times[start] < window_ns)
        {
            end += 1;
        }
        if end - start > densest.len() {
            densest = start..end;
        }
    }
    let first = times.get(densest.start).copied().unwrap_or(0);
    times[densest].iter().map(|time| time - first).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_densest_window_is_found_and_begins_at_its_first_arrival() {
        let arrivals = [100, 205, 200, 290, 300, 310, 900];
        assert_eq!(densest_window(&arrivals, 100), [0, 5, 90]);
        assert_eq!(densest_window(&arrivals, 101), [0, 5, 90, 100]);
        assert_eq!(densest_window(&arrivals, 0), [0]);
        assert_eq!(densest_window(&[], 10), [0; 0]);
    }

    proptest! {
        #[test]
        fn no_window_holds_more(arrivals in prop::collection::vec(0u64..500, 1..60), window_ns in 1u64..200) {
            let found = densest_window(&arrivals, window_ns);
            let held = |start: u64| arrivals.iter().filter(|time| (start..start + window_ns).contains(time)).count();
            let most = (0..500).map(held).max().unwrap();
            prop_assert_eq!(found.len(), most);
            prop_assert!(found[0] == 0 && found.is_sorted() && *found.last().unwrap() < window_ns);
        }
    }
}
