//! What the tests of the exporter share: the real binary, a client that sends bytes, and a reader of expositions that
//! forgives nothing.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod engine;
pub mod parse;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A directory on tmpfs, gone at the end of the test.
pub fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("tests need a tmpfs at /dev/shm")
}

/// The command, not yet started.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quantumflow-exporter"));
    command.arg("--region-dir").arg(dir);
    command
}

/// What `--once` prints.
pub fn once(dir: &Path) -> String {
    let output = command(dir).arg("--once").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A running exporter; killed when dropped.
pub struct Exporter {
    child: Child,
    /// Kept open: the exporter must not lose its output.
    _stdout: BufReader<ChildStdout>,
    pub addresses: Vec<SocketAddr>,
}

impl Exporter {
    pub fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_on(dir, &["127.0.0.1:0"], arguments)
    }

    pub fn start_on(dir: &Path, listen: &[&str], arguments: &[&str]) -> Self {
        let mut command = command(dir);
        for address in listen {
            command.args(["--web.listen-address", address]);
        }
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let addresses = listen.iter().map(|_| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let rest = line
                .strip_prefix("metrics at http://")
                .unwrap_or_else(|| panic!("{line:?}"));
            rest[..rest.find('/').unwrap()].parse().unwrap()
        });
        let addresses = addresses.collect();
        Self {
            child,
            _stdout: stdout,
            addresses,
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.addresses[0])
    }

    /// GET on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.connect().get(path)
    }

    /// One exposition, checked.
    pub fn scrape(&self) -> parse::Exposition {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        parse::Exposition::parse(answer.text())
    }

    /// Scrapes until `done` says so.
    pub fn scrape_until(&self, done: impl Fn(&parse::Exposition) -> bool) -> parse::Exposition {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let exposition = self.scrape();
            if done(&exposition) {
                return exposition;
            }
            assert!(Instant::now() < deadline, "it never came: {exposition:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: &str) {
        signal_process(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child's end, but not for ever.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn signal_process(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| {
            line.split_once(':')
                .is_some_and(|(header, _)| header.eq_ignore_ascii_case(name))
        })?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }

    /// Reads an answer with a body.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer
            .header("Content-Length")
            .expect("every answer has a length")
            .parse()
            .unwrap();
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body).unwrap();
        answer
    }

    /// Reads a line of a stream.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let n = self.stream.read_line(&mut line).unwrap();
        assert!(n > 0, "the stream has ended");
        line
    }

    /// Reads an answer up to its empty line.
    pub fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let n = self.stream.read_line(&mut head).unwrap();
            assert!(n > 0, "closed inside a head: {head:?}");
        }
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .unwrap()
            .parse()
            .unwrap();
        Answer {
            status,
            head,
            body: Vec::new(),
        }
    }

    /// Whether another line comes.
    pub fn reads_on(&mut self) -> bool {
        let mut line = String::new();
        self.stream.read_line(&mut line).is_ok_and(|bytes| bytes > 0)
    }

    /// Reads until the connection ends.
    pub fn read_to_end(&mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new()).unwrap();
    }

    /// Whether the server has closed the connection, with nothing more to read.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
