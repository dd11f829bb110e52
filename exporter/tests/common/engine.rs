//! Engines as processes of their own, to be stopped and killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quantumflow_region::{RegionOptions, RegionWriter, catalogue};

/// Tells a test process that it is to be an engine: start time and directory.
const ENGINE: &str = "TEST_ENGINE";

/// What the engine's process does; each test binary has an ignored test `engine_process` that calls this.
pub fn run() {
    let Ok(text) = std::env::var(ENGINE) else { return };
    let (start, dir) = text.split_once(' ').unwrap();
    let region = RegionWriter::create(Path::new(dir), &RegionOptions::new("engine", start.parse().unwrap())).unwrap();
    let mut writer = region.writer("hot-0").unwrap();
    writer.adopt_current_thread();
    let updates = writer
        .counter(&catalogue::PRICE_UPDATES, &["binance", "BTCUSDT"])
        .unwrap();
    let latency = writer.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    let mut beats = 0;
    println!("engine is ready");
    loop {
        writer.loop_begin();
        updates.inc();
        latency.record(beats);
        writer.loop_end();
        beats += 1;
        region.live().heartbeat(beats, beats);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A running engine; killed when dropped.
pub struct Engine(pub Child);

impl Engine {
    pub fn start(dir: &Path, start_unix_ns: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine_process", "--ignored", "--nocapture"])
            .env(ENGINE, format!("{start_unix_ns} {}", dir.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("engine is ready")));
        Self(child)
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
