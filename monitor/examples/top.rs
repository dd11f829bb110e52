//! `quantumflow top` by itself: the tests drive it in a terminal of their own.

use clap::Parser;
use quantumflow_monitor::top;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: top::Args,
}

fn main() -> Result<(), quantumflow_monitor::Error> {
    if std::env::var_os("QUANTUMFLOW_TEST_PANIC").is_some() {
        // As a release build ends: the hook runs, then the process aborts.
        std::thread::spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(700));
            let _ = std::panic::catch_unwind(|| panic!("a bug"));
            std::process::abort();
        });
    }
    top::run(&Cli::parse().args)
}
