//! `quantumflow tune` and `scripts/tune-host` on a made-up host: what is printed, what is written, and back again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const GOVERNOR: &str = "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const INTERRUPT: &str = "/proc/irq/40/smp_affinity_list";

/// A host on which core 1 is hot and most things are wrong.
fn made_up_host() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("/proc/interrupts", "CPU0 CPU1\n40: 1 7 PCI-MSI 1-edge eth0-rx"),
        (INTERRUPT, "0-1"),
        ("/proc/sys/kernel/nmi_watchdog", "1"),
        ("/proc/sys/kernel/watchdog", "0"),
        ("/proc/sys/kernel/watchdog_cpumask", "0-1"),
        ("/proc/sys/net/core/busy_poll", "0"),
        ("/proc/sys/net/core/busy_read", "0"),
        ("/proc/sys/vm/stat_interval", "1"),
        (GOVERNOR, "powersave"),
        ("/sys/devices/system/cpu/isolated", ""),
        ("/sys/devices/system/cpu/online", "0-1"),
        (HUGE_PAGES, "[always] madvise never"),
        (
            "/sys/kernel/mm/transparent_hugepage/defrag",
            "always defer [madvise] never",
        ),
        ("/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "1"),
    ] {
        let path = at(dir.path(), file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }
    dir
}

fn at(root: &Path, file: &str) -> PathBuf {
    root.join(file.trim_start_matches('/'))
}

fn says(root: &Path, file: &str) -> String {
    fs::read_to_string(at(root, file)).unwrap().trim().to_owned()
}

/// All files of the host and what is in them, but for what was saved.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![root.join("proc"), root.join("sys")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => {
                    files.insert(path.clone(), fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    files
}

fn script(root: &Path, args: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/tune-host");
    let mut command = Command::new(path);
    command.env("QUANTUMFLOW", env!("CARGO_BIN_EXE_quantumflow"));
    command.arg("--root").arg(root).args(args).output().unwrap()
}

fn words(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn good(output: &Output) -> (String, String) {
    let words = words(output);
    assert!(output.status.success(), "{output:?}");
    words
}

fn saved_files(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("run/quantumflow"));
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn without_apply_commands_are_printed_and_nothing_changes() {
    let host = made_up_host();
    let before = contents(host.path());
    let (out, err) = good(&script(host.path(), &["--core", "1"]));
    let command = format!(
        "echo performance > {}    # was powersave",
        at(host.path(), GOVERNOR).display()
    );
    assert!(out.lines().any(|line| line == command), "{out}");
    assert_eq!(out.lines().count(), 7, "one for each file that can be set: {out}");
    assert!(err.contains("nothing was changed"), "{err}");
    assert!(
        err.contains("isolation: isolcpus=managed_irq,domain,1"),
        "boot parameters are advice: {err}"
    );
    assert_eq!(contents(host.path()), before);
    assert!(saved_files(host.path()).is_empty());
}

#[test]
fn apply_sets_saves_and_is_undone() {
    let host = made_up_host();
    let before = contents(host.path());
    good(&script(host.path(), &["--core", "1", "--apply"]));
    for (file, value) in [
        (GOVERNOR, "performance"),
        (HUGE_PAGES, "madvise"),
        (INTERRUPT, "0"),
        ("/proc/sys/kernel/nmi_watchdog", "0"),
        ("/proc/sys/net/core/busy_read", "50"),
        ("/proc/sys/vm/stat_interval", "10"),
        // What was right stays.
        (
            "/sys/kernel/mm/transparent_hugepage/defrag",
            "always defer [madvise] never",
        ),
    ] {
        assert_eq!(says(host.path(), file), value, "{file}");
    }
    let saved = saved_files(host.path());
    assert_eq!(saved.len(), 1);

    // A kernel shows all choices of the file that took the word; this file shows the word alone.
    fs::write(at(host.path(), HUGE_PAGES), "always [madvise] never\n").unwrap();
    let (_, err) = good(&script(host.path(), &["--core", "1", "--apply"]));
    assert!(err.contains("nothing to set"), "{err}");
    assert_eq!(
        saved_files(host.path()),
        saved,
        "a second run that sets nothing saves nothing"
    );

    let undo = saved[0].to_str().unwrap();
    let (_, err) = good(&script(host.path(), &["--undo", undo]));
    assert!(err.contains("7 files set back"), "{err}");
    assert_eq!(
        says(host.path(), HUGE_PAGES),
        "always",
        "the word is written, not the choices"
    );
    fs::write(at(host.path(), HUGE_PAGES), "[always] madvise never\n").unwrap();
    assert_eq!(contents(host.path()), before);
    let (_, err) = good(&script(host.path(), &["--undo", undo]));
    assert!(err.contains("0 files set back"), "again is the same: {err}");
}

#[test]
fn what_cannot_be_written_is_said_and_the_rest_is_done() {
    let host = made_up_host();
    let governor = at(host.path(), GOVERNOR);
    let listing = Command::new(env!("CARGO_BIN_EXE_quantumflow"))
        .args(["tune", "--core", "1", "--settings", "--root"])
        .arg(host.path())
        .output()
        .unwrap();
    let (settings, _) = good(&listing);
    // Between the look and the writing the file goes; what is there in its place takes no value.
    fs::remove_file(&governor).unwrap();
    fs::create_dir(&governor).unwrap();
    let stub = host.path().join("quantumflow");
    let list = host.path().join("settings");
    fs::write(&list, settings).unwrap();
    fs::write(&stub, format!("#!/bin/sh\ncat {}\n", list.display())).unwrap();
    let mut mode = fs::metadata(&stub).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&stub, mode).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/tune-host");
    let output = Command::new(path)
        .env("QUANTUMFLOW", &stub)
        .arg("--root")
        .arg(host.path())
        .args(["--core", "1", "--apply"])
        .output()
        .unwrap();
    let (_, err) = words(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("failed: "), "{err}");
    assert_eq!(says(host.path(), "/proc/sys/vm/stat_interval"), "10");
}

#[test]
fn a_saved_file_writes_only_settings() {
    let host = made_up_host();
    let saved = host.path().join("saved");
    for file in [
        "/etc/passwd",
        "/proc/sys/kernel/core_pattern",
        "/proc/irq/../../etc/passwd/smp_affinity_list",
    ] {
        fs::write(&saved, format!("{file}\troot\n")).unwrap();
        let output = script(host.path(), &["--undo", saved.to_str().unwrap()]);
        let (_, err) = words(&output);
        assert_eq!(output.status.code(), Some(1), "{file}: {err}");
        assert!(err.contains("is no setting of a host"), "{file}: {err}");
        assert!(!at(host.path(), "/etc/passwd").exists());
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    let host = made_up_host();
    for args in [&["--core"][..], &["--cores", "1"], &["--apply", "--undo", "x"]] {
        let output = script(host.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    let output = script(host.path(), &["--core", "one"]);
    let (_, err) = words(&output);
    assert!(!output.status.success() && err.contains("--core"), "{err}");
}

#[test]
fn tune_answers_with_0_whatever_it_finds() {
    let host = made_up_host();
    let tune = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quantumflow"));
        command
            .arg("tune")
            .args(args)
            .arg("--root")
            .arg(host.path())
            .output()
            .unwrap()
    };
    let (text, _) = good(&tune(&["--core", "1"]));
    assert!(text.contains("COSTS    isolation"), "{text}");
    let (text, _) = good(&tune(&["--core", "1", "--json"]));
    let json: Value = serde_json::from_str(&text).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding["check"] == "governor" && finding["status"] == "costs")
    );
    // The core of a configuration, and where there is none to read.
    let config = host.path().join("engine.toml");
    fs::write(
        &config,
        "[engine]\ncore = 0\n[[feed]]\nvenue = \"kraken\"\nsymbols = [\"BTC/USD\"]\n",
    )
    .unwrap();
    let (text, _) = good(&tune(&["--config", config.to_str().unwrap()]));
    assert!(text.contains("hot core 0"), "{text}");
    assert_eq!(tune(&["--config", "/nowhere.toml"]).status.code(), Some(3));
    for args in [&["--json", "--settings"][..], &["--core", ""], &["--core", "3-1"]] {
        assert_eq!(tune(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn jitter_measures_a_second_and_logs_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("jitter.hlog");
    let quantumflow = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_quantumflow"))
            .args(args)
            .output()
            .unwrap()
    };
    let output = quantumflow(&["jitter", "--seconds", "1", "--json", "--hlog", log.to_str().unwrap()]);
    let (text, _) = good(&output);
    let json: Value = serde_json::from_str(&text).unwrap();
    let ns = |key: &str| json[key].as_u64().unwrap();
    assert!(
        ns("measured_ns") >= 1_000_000_000 && ns("stolen_ns") < ns("measured_ns"),
        "{json}"
    );
    let (summary, _) = good(&quantumflow(&["hdr", "summary", log.to_str().unwrap(), "--json"]));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let tag = format!("jitter:core={}", json["core"]);
    let logged = summary.get(&tag).map_or(0, |row| row["count"].as_u64().unwrap());
    assert_eq!(logged, json["steals"]["count"].as_u64().unwrap(), "{summary}");

    let output = quantumflow(&["jitter", "--core", "8191"]);
    let (_, err) = words(&output);
    assert_eq!(output.status.code(), Some(3));
    assert!(err.contains("cannot pin a thread to core 8191"), "{err}");
}
