//! Everything about a region but its series: who, how, where, and the last words.

use std::io::{self, Write};
use std::sync::Arc;

use quantumflow_region::{Event, Liveness, Snapshot, ThreadEvents, Unit, WriterStatus, catalogue};

use super::dump::Found;
use crate::text::{clean, quantity_in, rfc3339, series_name};

pub(super) fn write(found: &Found, events_most: usize, out: &mut impl Write) -> io::Result<()> {
    let Found {
        reader,
        liveness,
        snapshot,
        ..
    } = found;
    let info = reader.info();
    let revision = if info.revision.is_empty() {
        String::new()
    } else {
        format!(" ({})", info.revision)
    };
    writeln!(out, "file       {}", clean(&reader.path().to_string_lossy()))?;
    writeln!(
        out,
        "engine     {} {}{revision}, pid {}, uid {}",
        info.service, info.version, info.pid, info.uid
    )?;
    writeln!(out, "state      {}: {}", liveness.name(), why(*liveness, snapshot))?;
    if let Some(text) = &snapshot.engine.panic_text {
        let lines: Vec<_> = text.lines().map(clean).collect();
        writeln!(out, "panic      {}", lines.join("\n           "))?;
    }
    let engine = &snapshot.engine;
    writeln!(
        out,
        "started    {} ({} ns)",
        rfc3339(info.start_unix_ns),
        info.start_unix_ns
    )?;
    let beat = engine.heartbeat_unix_ns;
    writeln!(
        out,
        "heartbeat  {} ({beat} ns), number {}",
        rfc3339(beat),
        engine.heartbeats
    )?;
    if let Some(page) = &found.first_page {
        page.write(out)?;
    }
    if snapshot.unknown_section_count > 0 || snapshot.unknown_series_count > 0 {
        let (sections, series) = (snapshot.unknown_section_count, snapshot.unknown_series_count);
        writeln!(
            out,
            "unknown    {sections} sections and {series} series of types that this program does not know"
        )?;
    }
    let (count, dropped) = (snapshot.series.len(), engine.registrations_dropped);
    writeln!(
        out,
        "series     {count} of {} ({dropped} found no room)",
        info.max_series
    )?;
    for writer in &snapshot.writers {
        let cpu = writer.cpu.map_or(String::new(), |cpu| format!(", cpu {cpu}"));
        let place = place(writer, *liveness);
        writeln!(
            out,
            "thread     {:<14} tid {}{cpu}: {} rounds, {place}",
            clean(&writer.name),
            writer.tid,
            writer.loop_end
        )?;
    }
    // In a living region a record under way is no news.
    for unfinished in snapshot.unfinished.iter().filter(|_| !liveness.is_running()) {
        let (writer, series) = (clean(&unfinished.writer), series_name(&unfinished.series));
        writeln!(out, "record     {writer} died inside a record of {series}")?;
    }
    events(&found.events, *liveness, events_most, out)
}

/// How the state is known.
pub(super) fn why(liveness: Liveness, snapshot: &Snapshot) -> String {
    let code = snapshot.engine.exit_code;
    match liveness {
        Liveness::Live => "its file is locked; whether its loops move, `quantumflow region diff` tells".into(),
        Liveness::Draining => "its file is locked, and it is finishing".into(),
        Liveness::Closed => format!("it said so, with exit code {code}"),
        Liveness::Panicked => "it said so".into(),
        Liveness::Crashed => {
            "the lock on its file is free and it said no word: killed, aborted, or out of memory".into()
        }
    }
}

fn place(writer: &WriterStatus, liveness: Liveness) -> String {
    let inside = format!(
        "inside round {}, at place {}",
        writer.loop_begin,
        catalogue::place(writer.breadcrumb)
    );
    match (writer.is_inside_round(), liveness.is_running()) {
        (true, true) => inside,
        (true, false) => format!("died {inside}"),
        (false, _) => "between rounds".into(),
    }
}

/// The events of all threads in the order of their times, with their threads.
pub(crate) fn in_order(threads: &[ThreadEvents]) -> Vec<(&Arc<str>, &Event)> {
    let each = threads
        .iter()
        .flat_map(|thread| thread.events.iter().map(|event| (&thread.writer, event)));
    let mut all: Vec<_> = each.collect();
    all.sort_by_key(|(_, event)| event.unix_ns);
    all
}

fn events(threads: &[ThreadEvents], liveness: Liveness, most: usize, out: &mut impl Write) -> io::Result<()> {
    if threads.is_empty() {
        return writeln!(out, "events     this region has no flight recorder");
    }
    for thread in threads
        .iter()
        .filter(|thread| thread.recorded > 0 || thread.is_recording)
    {
        let dying = if thread.is_recording && !liveness.is_running() {
            ", died while it recorded one"
        } else {
            ""
        };
        let (recorded, lost) = (thread.recorded, thread.overwritten);
        writeln!(
            out,
            "events     {:<14} {recorded} recorded, {lost} overwritten by later ones{dying}",
            clean(&thread.writer)
        )?;
    }
    let all = in_order(threads);
    for (writer, event) in all.iter().skip(all.len().saturating_sub(most)) {
        writeln!(
            out,
            "event      {} ({} ns) {:<14} {}",
            rfc3339(event.unix_ns),
            event.unix_ns,
            clean(writer),
            in_words(event)
        )?;
    }
    Ok(())
}

/// An event with its numbers in their units: `resync_finished binance:BTCUSDT duration 12.3 ms update_id 12345`.
pub(crate) fn in_words(event: &Event) -> String {
    let mut text = clean(&event.kind.name).into_owned();
    if let Some(subject) = &event.subject {
        text.push(' ');
        text.push_str(&clean(subject));
    }
    for (field, value) in event.fields() {
        let value = match field.code(value) {
            Some(code) => clean(code).into_owned(),
            None if field.unit == Unit::None && field.scale == 0 => value.to_string(),
            None => quantity_in(field.unit, field.scale, value as f64),
        };
        // The value brings its own unit.
        let name = clean(&field.name);
        let name = name.strip_suffix("_ns").unwrap_or(&name);
        text.push_str(&format!(" {name}={value}"));
    }
    text
}
