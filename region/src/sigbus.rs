//! Last words of a reader whose file was cut under it.
//!
//! A load from a page that is no longer in the file raises SIGBUS, and the default is to die without a word: whoever finds
//! the exporter restarted at three in the morning should not have to guess. Nothing is mended here. The reader still ends,
//! for what it mapped is gone, and a supervisor starts it anew.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Makes this process say on standard error what a SIGBUS means, before it dies of it as it would have anyway. Call it once,
/// at the start of a program that reads regions or rings.
pub fn explain_sigbus() -> std::io::Result<()> {
    // The flag restores the default before the handler runs: the load that it returns to then ends the process.
    let action = SigAction::new(SigHandler::Handler(say), SaFlags::SA_RESETHAND, SigSet::empty());
    // SAFETY: `say` only calls `write`, which is async-signal-safe, and the handler that it replaces is the default one or
    // that of the same program.
    unsafe { sigaction(Signal::SIGBUS, &action) }?;
    Ok(())
}

extern "C" fn say(_: libc::c_int) {
    // SAFETY: the bytes are static, and `write` only reads them. Its result is nobody's concern in a process that ends.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, LAST_WORDS.as_ptr().cast(), LAST_WORDS.len()) };
}

const LAST_WORDS: &[u8] =
    b"error: SIGBUS: a mapped region or ring was cut while it was read; nothing of QuantumFlow does that, \
so look for who truncated a file in the region directory, and start this program again\n";
