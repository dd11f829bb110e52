//! A region that someone damaged who knows the format: header with a fitting checksum, sections, descriptors, offsets of
//! texts, shapes of histograms, live words, events. A typed error or a sound reading, never a panic, never more than the
//! file holds. The bytes of the input are choices; what they choose is in `region/tests/common/damage.rs`.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use quantumflow_fuzz::region::{check, check_events, good};
use quantumflow_fuzz::scratch;
// Found by the shared file as its own parent's.
use quantumflow_fuzz::wounds::sign;
use quantumflow_region::{ReadError, RegionReader};

#[path = "../../region/tests/common/damage.rs"]
mod damage;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(good);
static PATH: LazyLock<PathBuf> = LazyLock::new(|| scratch("structure.2.2.met"));

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let mut choices = Unstructured::new(input);
        let mut bytes = GOOD.clone();
        damage::damage(&mut bytes, &mut |n| choices.int_in_range(0..=n.max(1) - 1).unwrap_or(0));
        fs::write(&*PATH, &bytes).expect("scratch can be written");
        match read() {
            Ok(()) => {}
            Err(ReadError::Format { source, .. }) => assert!(!source.to_string().is_empty()),
            Err(error) => panic!("the file is there and whole: {error:?}"),
        }
    }
);

fn read() -> Result<(), ReadError> {
    let mut reader = RegionReader::open(&PATH)?;
    let _ = (reader.info().clone(), reader.liveness()?, reader.engine_state());
    check(&reader.snapshot()?);
    check_events(&reader.events()?);
    Ok(())
}

/// Every kind of damage alone, with some choices of each.
fn seeds() -> Vec<Vec<u8>> {
    let kinds = (0..11_u8).flat_map(|kind| (0..16_u8).map(move |choice| (kind, choice)));
    kinds
        .map(|(kind, choice)| vec![0, kind, choice, choice, choice.wrapping_mul(17), 1, choice, 1])
        .collect()
}
