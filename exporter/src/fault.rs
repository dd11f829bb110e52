//! The one way in which a region's file can end the process that reads it.
//!
//! A file that is cut while its pages are being read answers with SIGBUS. The engine never does that; someone with its
//! rights can. The file's length is asked for before every pass, so it takes a cut between that question and the read.
//! The numbers are lost either way, and no line can be written from inside the signal; so the process ends with a code of
//! its own, which systemd shows as `status=74/IOERR`. Started again by its supervisor, it finds the file short and says
//! so in `hft_engine_state`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGBUS;

/// Code of the end by a region that was cut (`EX_IOERR` of `sysexits.h`).
pub const EXIT_CUT: i32 = 74;

/// Ends the process with [`EXIT_CUT`] when a mapped file is cut under it, rather than by the signal with a core dump.
///
/// # Errors
/// What the operating system refuses.
pub fn exit_on_bus_errors() -> io::Result<()> {
    signal_hook::flag::register_conditional_shutdown(SIGBUS, EXIT_CUT, Arc::new(AtomicBool::new(true))).map(drop)
}
