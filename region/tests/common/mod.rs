//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use quantumflow_region::RegionOptions;

/// A directory on tmpfs, gone at the end of the test.
pub fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need /dev/shm")
}

/// A region's options with the defaults.
pub fn options(service: &str, start_unix_ns: u64) -> RegionOptions {
    RegionOptions::new(service, start_unix_ns)
}
