//! What the tests of this crate share.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its part"
)]

pub mod damage;
pub mod engine;

use quantumflow_region::{RegionOptions, RingOptions, Signal};

/// A directory on tmpfs, gone at the end of the test.
pub fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need /dev/shm")
}

/// A region's options with the defaults.
pub fn options(service: &str, start_unix_ns: u64) -> RegionOptions {
    RegionOptions::new(service, start_unix_ns)
}

/// A ring's options with that many slots.
pub fn ring_options(service: &str, start_unix_ns: u64, slot_count: u32) -> RingOptions {
    RingOptions {
        slot_count,
        ..RingOptions::new(service, start_unix_ns)
    }
}

/// Signal number `i`: every field is a function of `i` alone, all of them differ, and neighbours share none.
pub fn sample(i: u64) -> Signal {
    let mix = |salt: u64| {
        (i + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(salt as u32)
            .wrapping_add(salt)
            >> 1
    };
    Signal {
        sequence: i,
        symbol_id: mix(1) as u16,
        model_id: mix(2) as u16,
        class: (i % 3) as u8,
        quality: (i % 5) as u8,
        flags: 0,
        update_id: mix(3),
        exchange_time_ns: mix(4),
        receive_time_ns: mix(5),
        publish_time_ns: mix(6),
        probabilities: [(i % 7) as f32 / 7.0, (i % 11) as f32 / 11.0, (i % 13) as f32 / 13.0],
        confidence: (i % 17) as f32 / 17.0,
        bid_price: mix(7) as i64,
        bid_qty: -(mix(8) as i64),
        ask_price: mix(9) as i64,
        ask_qty: mix(10) as i64,
        model_hash: mix(11),
        total_latency_ns: mix(12),
        kernel_time_ns: mix(13),
        reserved: 0,
    }
}

/// Gives the header of a region or a ring the checksum that it should have, where its length makes sense.
pub fn sign(bytes: &mut [u8]) {
    let len = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    if (256..=4096.min(bytes.len())).contains(&len) {
        bytes[20..24].fill(0);
        let mut crc = !0u32;
        for &byte in &bytes[..len] {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
            }
        }
        bytes[20..24].copy_from_slice(&(!crc).to_le_bytes());
    }
}
