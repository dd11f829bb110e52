//! The sandbox from both sides: what an intruder would try is refused, and what serving takes still works.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;
mod web_support;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use common::{command, shm};
use nix::unistd::Pid;
use quantumflow_exporter::sandbox;
use web_support::Running;

/// Tells a test process what to try inside the sandbox: its name, and a directory to try it in.
const TRY: &str = "TEST_SANDBOX";

/// Tries something in a directory, and tells whether it has worked.
type Attempt = fn(&Path) -> bool;

/// What only an intruder would try.
const FATAL: [(&str, Attempt); 11] = [
    ("run a program", |_| Command::new("/bin/true").status().is_ok()),
    ("connect", |_| TcpStream::connect("127.0.0.1:9").is_ok()),
    ("listen", |_| TcpListener::bind("127.0.0.1:0").is_ok()),
    ("create a file", |dir| File::create(dir.join("new")).is_ok()),
    ("write a file", |dir| {
        OpenOptions::new().write(true).open(dir.join("file")).is_ok()
    }),
    ("append to a file", |dir| {
        OpenOptions::new().append(true).open(dir.join("file")).is_ok()
    }),
    ("remove a file", |dir| fs::remove_file(dir.join("file")).is_ok()),
    ("rename a file", |dir| {
        fs::rename(dir.join("file"), dir.join("other")).is_ok()
    }),
    ("make a directory", |dir| fs::create_dir(dir.join("inner")).is_ok()),
    ("change a mode", |dir| {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(dir.join("file"), open).is_ok()
    }),
    ("signal another process", |_| {
        nix::sys::signal::kill(Pid::parent(), None).is_ok()
    }),
];

/// Not a test: what the tests below start, as a process of its own.
#[test]
#[ignore = "started by other tests, as a process of its own"]
fn sandboxed_process() {
    let Ok(text) = std::env::var(TRY) else { return };
    let (name, dir) = text.split_once('@').unwrap();
    let dir = Path::new(dir);
    sandbox::enter().unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)));
    println!("inside");
    if let Some((_, attempt)) = FATAL.iter().find(|(fatal, _)| *fatal == name) {
        println!("came back: {}", attempt(dir));
        return;
    }
    match name {
        "serve" => {
            let mut text = String::new();
            File::open(dir.join("file")).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), fs::read_dir(dir).unwrap().count()), ("text", 1));
            assert!(fs::read_to_string("/proc/self/status").unwrap().contains("Seccomp:\t2"));
            let status = std::thread::spawn(|| fs::read_to_string("/proc/thread-self/status").unwrap());
            assert!(status.join().unwrap().contains("NoNewPrivs:\t1"));
            assert!(std::os::unix::net::UnixStream::pair().is_ok());
            println!("came back: true");
        }
        "unknown" => {
            // Not fatal, not needed: refused as an older kernel would.
            let error = File::open(dir.join("file")).unwrap().sync_all().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSYS));
            println!("came back: true");
        }
        "panic" => std::process::abort(),
        name => panic!("{name}"),
    }
}

fn attempt(name: &str, dir: &Path) -> Output {
    fs::write(dir.join("file"), "text").unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sandboxed_process",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(TRY, format!("{name}@{}", dir.display()))
        .output()
        .unwrap()
}

#[test]
fn what_only_an_intruder_would_try_ends_the_process() {
    for (name, outside) in FATAL {
        let dir = shm();
        let output = attempt(name, dir.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("inside") && !said.contains("came back"),
            "{name}: {output:?}"
        );
        assert_eq!(output.status.signal(), Some(nix::libc::SIGSYS), "{name}: {output:?}");
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "text", "{name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
        // The attempt itself is a good one: outside it works, save for a port where nobody listens.
        assert!(name == "connect" || outside(dir.path()), "{name}");
    }
}

#[test]
fn what_serving_takes_still_works_and_what_is_unknown_fails_softly() {
    for name in ["serve", "unknown"] {
        let dir = shm();
        let output = attempt(name, dir.path());
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("came back: true"),
            "{name}: {output:?}"
        );
    }
    let dir = shm();
    let output = attempt("panic", dir.path());
    assert_eq!(
        output.status.signal(),
        Some(nix::libc::SIGABRT),
        "a panic is still one: {output:?}"
    );
}

/// A line of a thread's status.
fn status(thread: &Path, key: &str) -> String {
    let text = fs::read_to_string(thread.join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}

#[test]
fn every_thread_of_the_exporter_is_inside_unless_told_not_to() {
    let dir = shm();
    let own = Path::new("/proc/thread-self");
    let (own_privs, own_mode) = (status(own, "NoNewPrivs:"), status(own, "Seccomp:"));
    for (arguments, privs, mode) in [
        (&[][..], "1", "2"),
        (&["--no-sandbox"][..], own_privs.as_str(), own_mode.as_str()),
    ] {
        let mut command = command(dir.path());
        command.args(["--web.listen-address", "127.0.0.1:0"]).args(arguments);
        let exporter = Running::start(&mut command, 1);
        let mut client = common::Client::connect(exporter.addresses[0]);
        assert_eq!(client.get("/metrics").status, 200);
        let tasks = format!("/proc/{}/task", exporter.child.id());
        let threads: Vec<_> = fs::read_dir(tasks)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(
            threads.len() >= 4,
            "main, watch, acceptor and the client's: {threads:?}"
        );
        for thread in threads {
            assert_eq!(status(&thread, "NoNewPrivs:"), privs, "{arguments:?}");
            assert_eq!(status(&thread, "Seccomp:"), mode, "{arguments:?}");
        }
    }
}
