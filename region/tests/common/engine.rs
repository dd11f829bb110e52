//! Programs that tests start, stop and kill: this very test binary, run again in a role.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROLE: &str = "QUANTUMFLOW_REGION_TEST_ROLE";
const DIR: &str = "QUANTUMFLOW_REGION_TEST_DIR";

/// This program, about to run nothing but its ignored test `the_other_program`, which plays the role.
pub fn program(role: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    with_role(&mut command, role, dir);
    command
}

/// The arguments and the environment of a [`program`], for a command that starts it in another way.
pub fn with_role(command: &mut Command, role: &str, dir: &Path) {
    command
        .args([
            "--exact",
            "the_other_program",
            "--nocapture",
            "--ignored",
            "--test-threads=1",
        ])
        .env(ROLE, role)
        .env(DIR, dir)
        // Some of them run out of memory on purpose, and a backtrace needs some.
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
}

/// The role and the directory that this process was started with, if it was.
pub fn role() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(DIR)?.into()))
}

/// Starts a program.
pub fn start(role: &str, dir: &Path) -> Child {
    program(role, dir).spawn().unwrap()
}

/// Waits until the program says that it is ready.
pub fn wait_ready(child: &mut Child) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(
        lines.map_while(Result::ok).any(|line| line.ends_with("ready")),
        "the program never got ready"
    );
}

/// Says so.
pub fn ready() {
    println!("\nready");
}
