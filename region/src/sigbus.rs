//! Last words of a reader whose file was cut under it.
//!
//! The length of a file is asked for before every pass, so it takes a cut between that question and the read. A load from
//! a page that is no longer in the file raises SIGBUS, and the default is to die without a word: whoever finds the exporter
//! restarted at three in the morning should not have to guess. Nothing is mended here. What was mapped is gone; the reader
//! says so and ends, and a supervisor starts it anew, which then finds the file short and gets an error.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Code of a process that ended because a file was cut under it: `EX_IOERR` of `sysexits.h`, which systemd shows as
/// `status=74/IOERR`.
pub const EXIT_CUT: i32 = 74;

/// Makes this process say on standard error what a SIGBUS means, and end with [`EXIT_CUT`]. Call it once, at the start of a
/// program that reads regions or rings.
pub fn exit_on_sigbus() -> std::io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    // SAFETY: `end` only calls `write` and `_exit`, which are async-signal-safe, and the handler that it replaces is the
    // default one or that of the same program.
    unsafe { sigaction(Signal::SIGBUS, &action) }?;
    Ok(())
}

extern "C" fn end(_: libc::c_int) {
    // SAFETY: the bytes are static, and `write` only reads them; its result is nobody's concern in a process that ends.
    // `_exit` runs nothing of this process any more.
    unsafe {
        libc::write(libc::STDERR_FILENO, LAST_WORDS.as_ptr().cast(), LAST_WORDS.len());
        libc::_exit(EXIT_CUT)
    }
}

const LAST_WORDS: &[u8] =
    b"error: SIGBUS: a mapped region or ring was cut while it was read; nothing of QuantumFlow does that, \
so look for who truncated a file in the region directory, and start this program again\n";
