//! The one way in which a region's file can end the process that reads it.
//!
//! A file that is cut while its pages are being read answers with SIGBUS. The engine never does that; someone with its
//! rights can. The file's length is asked for before every pass, so it takes a cut between that question and the read.
//! The numbers would be lost either way; what must not be lost is the reason. So the signal wakes a thread that says it,
//! and the process ends with a code of its own, for its supervisor to start it again.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process;
use std::thread;

use signal_hook::consts::SIGBUS;

/// Code of the end by a region that was cut (`EX_IOERR` of `sysexits.h`).
pub const EXIT_CUT: i32 = 74;

/// Ends the process in words when a mapped file is cut under it.
///
/// # Errors
/// What the operating system refuses.
pub fn explain_bus_errors() -> io::Result<()> {
    let (mut reader, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGBUS, writer)?;
    let explain = move || {
        // The thread that was hit tries the same page again, and is hit again, until this one ends them all.
        if reader.read_exact(&mut [0]).is_ok() {
            eprintln!(
                "quantumflow-exporter: a region was cut while it was being read (SIGBUS); files of a living engine must \
                 not be shortened or copied over: start the exporter again"
            );
            process::exit(EXIT_CUT);
        }
    };
    thread::Builder::new().name("fault".into()).spawn(explain).map(drop)
}
