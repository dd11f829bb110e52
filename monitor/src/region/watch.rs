//! The same view again and again: what the filter lets through, with what it moved by since the last look.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::diff::{Change, Comparison};
use super::{WatchArgs, open};
use crate::Error;
use crate::session::Now;
use crate::text::rfc3339;

pub(super) fn run(dir: &Path, args: &WatchArgs, json: bool, out: &mut impl Write) -> Result<(), Error> {
    let mut reader = open(dir, args.file.as_ref())?;
    let (mut before, mut then) = (reader.snapshot()?, Now::read());
    // Who names a series wants to see it also while it rests.
    let all = args.all || !args.filter.is_open();
    let mut looks = 0;
    while args.count.is_none_or(|count| looks < count) {
        thread::sleep(Duration::from_secs_f64(args.interval));
        let liveness = reader.liveness().map_err(Error::Lost)?;
        let (after, now) = (reader.snapshot().map_err(Error::Lost)?, Now::read());
        let seconds = (now.instant - then.instant).as_secs_f64();
        let comparison = Comparison {
            before,
            after,
            seconds: Some(seconds),
            notes: Vec::new(),
        };
        if json {
            let mut object = comparison.json(&args.filter, all);
            (object["unix_ns"], object["time"]) = (json!(now.unix_ns), json!(rfc3339(now.unix_ns)));
            object["state"] = liveness.name().into();
            writeln!(out, "{object}")?;
        } else {
            let changes = comparison.changes(&args.filter, all);
            write(&changes, liveness.name(), now, out)?;
        }
        out.flush()?;
        if !liveness.is_running() {
            // Its last values were read after its end: nothing can follow.
            return Ok(());
        }
        (before, then) = (comparison.after, now);
        looks += 1;
    }
    Ok(())
}

fn write(changes: &[Change<'_>], state: &str, now: Now, out: &mut impl Write) -> io::Result<()> {
    let what = if changes.is_empty() { ": nothing changed" } else { "" };
    writeln!(out, "{} {state}{what}", rfc3339(now.unix_ns))?;
    for change in changes {
        writeln!(out, "{change}")?;
    }
    Ok(())
}
