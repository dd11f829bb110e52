//! A region as JSON. Fields are only ever added.

use quantumflow_region::{Event, Series, SeriesMeta, ThreadEvents, Value};
use serde_json::{Map, Value as Json, json};

use super::dump::Found;
use super::filter::Filter;
use super::show;
use crate::text::rfc3339;

pub(super) fn of(found: &Found, events_most: usize, filter: Option<&Filter>) -> Json {
    let (info, snapshot, liveness) = (found.reader.info(), &found.snapshot, found.liveness);
    let engine = &snapshot.engine;
    let writers = snapshot.writers.iter().map(|writer| {
        json!({ "name": &*writer.name, "tid": writer.tid, "cpu": writer.cpu, "loop_begin": writer.loop_begin,
                "loop_end": writer.loop_end, "inside_round": writer.is_inside_round(), "breadcrumb": writer.breadcrumb })
    });
    let unfinished = snapshot.unfinished.iter().map(|unfinished| {
        json!({ "name": &*unfinished.series.name, "labels": labels(&unfinished.series), "thread": &*unfinished.writer,
                "records": unfinished.records })
    });
    let mut all = json!({
        "file": found.reader.path().to_string_lossy(), "service": info.service, "version": info.version,
        "revision": info.revision, "pid": info.pid, "uid": info.uid, "state": liveness.name(),
        "why": show::why(liveness, snapshot), "start_unix_ns": info.start_unix_ns, "start": rfc3339(info.start_unix_ns),
        "heartbeat_unix_ns": engine.heartbeat_unix_ns, "heartbeat": rfc3339(engine.heartbeat_unix_ns),
        "heartbeats": engine.heartbeats, "exit_code": engine.exit_code, "panic": engine.panic_text,
        "format": found.first_page.as_ref().map(|page| page.json()),
        "series_count": snapshot.series.len(), "registrations_dropped": engine.registrations_dropped,
        "unknown_sections": snapshot.unknown_section_count, "unknown_series": snapshot.unknown_series_count,
        "threads": writers.collect::<Vec<_>>(), "unfinished_records": unfinished.collect::<Vec<_>>(),
        "event_rings": found.events.iter().map(ring).collect::<Vec<_>>(),
    });
    let events = show::in_order(&found.events);
    let last = events.iter().skip(events.len().saturating_sub(events_most));
    all["events"] = last.map(|(writer, one)| event(writer, one)).collect();
    if let Some(filter) = filter {
        all["series"] = filter.of(snapshot).map(series).collect();
    }
    all
}

fn ring(thread: &ThreadEvents) -> Json {
    json!({ "thread": &*thread.writer, "recorded": thread.recorded, "overwritten": thread.overwritten,
            "is_recording": thread.is_recording })
}

fn event(writer: &str, event: &Event) -> Json {
    let fields = event.fields().map(|(field, value)| {
        let value = field.code(value).map_or_else(|| json!(value), |code| json!(code));
        (field.name.to_string(), value)
    });
    json!({ "unix_ns": event.unix_ns, "time": rfc3339(event.unix_ns), "thread": writer, "sequence": event.sequence,
            "kind": &*event.kind.name, "subject": event.subject.as_deref(), "fields": fields.collect::<Map<_, _>>() })
}

pub(super) fn labels(meta: &SeriesMeta) -> Map<String, Json> {
    meta.labels
        .iter()
        .map(|(name, value)| (name.to_string(), json!(&**value)))
        .collect()
}

pub(super) fn series(series: &Series) -> Json {
    let meta = &series.meta;
    let value = match &series.value {
        Value::Histogram(histogram) => histogram_json(meta, histogram),
        Value::Counter(n) if meta.scale == 0 => json!(n),
        // NaN, for what is not known, becomes null.
        value => json!(value.as_f64().map(|raw| meta.to_base(raw))),
    };
    let mut all = json!({ "name": &*meta.name, "kind": meta.kind.name(), "unit": meta.unit.name(), "labels": labels(meta),
                          "value": value });
    if series.retired {
        all["retired"] = true.into();
    }
    if let Value::State(state) = series.value {
        all["state"] = json!(usize::try_from(state).ok().and_then(|state| meta.states.get(state)));
    }
    all
}

/// Percentiles are raw; `scale` is the power of ten to the base unit.
pub(super) fn histogram_json(meta: &SeriesMeta, histogram: &quantumflow_region::HistogramSnapshot) -> Json {
    json!({
        "count": histogram.count(), "sum": histogram.sum(), "max": histogram.max(), "clipped": histogram.clipped(),
        "p50": histogram.value_at_percentile(50.0), "p99": histogram.value_at_percentile(99.0),
        "p999": histogram.value_at_percentile(99.9), "scale": meta.scale,
    })
}
