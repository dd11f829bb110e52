//! The regions of a directory, one line each.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::Error;
use crate::engines::{self, Engine};
use crate::text::{clean, in_words, rfc3339, rfc3339_seconds};

pub(super) fn run(dir: &Path, json: bool, out: &mut impl Write) -> Result<(), Error> {
    let engines = engines::list(dir)?;
    if json {
        let all: Vec<_> = engines.iter().map(as_json).collect();
        writeln!(out, "{:#}", serde_json::Value::from(all))?;
        return Ok(());
    }
    for engine in &engines {
        let name = &engine.entry.name;
        let (state, why) = match &engine.found {
            Ok((liveness, _)) => (liveness.name(), String::new()),
            Err(error) => ("unreadable", format!(" ({})", in_words(error))),
        };
        let path = engine.entry.path.to_string_lossy();
        let started = rfc3339_seconds(name.start_unix_ns);
        writeln!(
            out,
            "{state:<10} pid {:<8} {started:<20} {}{why}",
            name.pid,
            clean(&path)
        )?;
    }
    if engines.is_empty() {
        writeln!(out, "no regions in {}", dir.display())?;
    }
    Ok(())
}

fn as_json(engine: &Engine) -> serde_json::Value {
    let name = &engine.entry.name;
    let mut all = json!({
        "file": engine.entry.path.to_string_lossy(), "service": name.service, "pid": name.pid, "retired": name.dead,
        "start_unix_ns": name.start_unix_ns, "start": rfc3339(name.start_unix_ns),
    });
    match &engine.found {
        Ok((liveness, info)) => {
            all["state"] = liveness.name().into();
            all["version"] = info.version.clone().into();
        }
        Err(error) => {
            all["state"] = "unreadable".into();
            all["error"] = in_words(error).into();
        }
    }
    all
}
