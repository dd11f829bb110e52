//! Processes that end with the test, and what is asked of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use quantumflow_feeds::sim::SimHandle;
use tempfile::TempDir;

/// A process that is killed, by its id, when the test is done with it.
pub(crate) struct Process {
    child: Child,
    out: PathBuf,
}

impl Process {
    /// Starts a command; its output goes into `dir`.
    pub(crate) fn start(command: &mut Command, dir: &Path, name: &str) -> Self {
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        command
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(err).unwrap())
            .stdin(Stdio::null());
        Self {
            child: command
                .spawn()
                .unwrap_or_else(|error| panic!("cannot start {name}: {error}")),
            out,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What stands between `before` and the end of the line in the output, once it is there.
    pub(crate) fn wait_for_line(&mut self, before: &str) -> String {
        wait_for("a line of a process", || {
            let text = fs::read_to_string(&self.out).unwrap_or_default();
            let found = text
                .lines()
                .find_map(|line| line.split_once(before))
                .map(|(_, rest)| rest.to_owned());
            assert!(
                found.is_some() || self.child.try_wait().unwrap().is_none(),
                "the process ended early: {text}{}",
                fs::read_to_string(self.out.with_extension("err")).unwrap_or_default()
            );
            found
        })
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for the end and returns the exit code; `None` if a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        wait_for("the end of a process", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A directory for regions, on tmpfs.
pub(crate) fn region_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("quantumflow-test.")
        .tempdir_in("/dev/shm")
        .expect("a tmpfs at /dev/shm")
}

pub(crate) fn quantumflow() -> Command {
    Command::new(env!("CARGO_BIN_EXE_quantumflow"))
}

/// Runs `quantumflow` with these arguments to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    quantumflow().args(arguments).output().unwrap()
}

/// The exporter, which is another package's binary: built here if this package is tested alone.
pub(crate) fn exporter(region_dir: &Path, dir: &Path) -> (Process, SocketAddr) {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_quantumflow")).with_file_name("quantumflow-exporter");
        if !path.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--package", "quantumflow-exporter"])
                .status()
                .unwrap();
            assert!(built.success(), "the exporter does not build");
        }
        path
    });
    let mut command = Command::new(binary);
    command
        .arg("--region-dir")
        .arg(region_dir)
        .args(["--web.listen-address", "127.0.0.1:0"]);
    let mut process = Process::start(&mut command, dir, "exporter");
    let url = process.wait_for_line("metrics at http://");
    let address = url.split('/').next().unwrap().parse().unwrap();
    (process, address)
}

/// A configuration for an engine on this simulator.
pub(crate) fn config(dir: &Path, region_dir: &Path, sim: &SimHandle, engine: &str, feed: &str) -> PathBuf {
    let ca = dir.join("ca.pem");
    fs::write(&ca, sim.authority_pem().expect("the simulator speaks TLS")).unwrap();
    let text = format!(
        "[engine]\nlock_memory = false\n{engine}\n[region]\ndir = \"{}\"\n[[feed]]\nurl = \"{}\"\nrest_url = \"{}\"\nca_file = \"{}\"\n{feed}",
        region_dir.display(),
        sim.ws_url(),
        sim.rest_url(),
        ca.display(),
    );
    let path = dir.join("engine.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Starts an engine and waits until it runs.
pub(crate) fn engine(config: &Path, dir: &Path, name: &str) -> (Process, PathBuf) {
    let mut process = Process::start(quantumflow().arg("run").arg(config), dir, name);
    let region = process.wait_for_line("running, metrics region ");
    (process, PathBuf::from(region))
}

/// The body of a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").expect("an HTTP answer").1.to_owned()
}

/// The sum of a metric in an exposition, over the series whose labels contain all of `labels`; `None` without any.
pub(crate) fn metric(exposition: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let values = exposition.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (series, value) = rest.rsplit_once(' ')?;
        let is_it = series.is_empty() || series.starts_with('{');
        (is_it && labels.iter().all(|label| series.contains(label))).then(|| value.parse::<f64>().unwrap())
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
