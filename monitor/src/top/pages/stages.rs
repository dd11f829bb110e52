//! Where the time goes: every latency histogram, the last interval beside the whole run.

use quantumflow_region::{HistogramSnapshot, Series, Unit, catalogue};

use super::{Page, Row, help_of};
use crate::text::{clean, labels, latency, rate, short};
use crate::top::app::App;
use crate::top::table::{Cell, Column, Table, left, rest, right};

const COLUMNS: [Column; 12] = [
    rest("stage", 9),
    right("now/s", 7, 3),
    right("p50", 7, 1),
    right("p99", 7, 0),
    right("p99.9", 7, 1),
    right("max", 7, 2),
    right("x run", 6, 1),
    left("|", 1, 2),
    right("run p50", 7, 4),
    right("run p99", 7, 2),
    right("r p99.9", 7, 3),
    right("run max", 7, 3),
];
/// p99 of the interval by that of the run from which on it is pointed out, and the records that it takes to say so.
const MOVED: f64 = 1.5;
const RECORDS_LEAST: u64 = 100;

pub(super) fn page(app: &App, width: u16) -> Page<'_> {
    let table = Table::fit(&COLUMNS, width);
    let series = app.session.latest().snapshot.series.iter().enumerate();
    let mut latencies: Vec<(usize, &Series)> = series
        .filter(|(_, series)| series.meta.unit == Unit::Seconds && series.value.histogram().is_some())
        .collect();
    // The path in its order, then the rest as registered.
    latencies.sort_by_key(|(_, series)| order(series));
    latencies.retain(|(_, series)| !app.hides_zeros || series.value.histogram().is_some_and(|h| h.count() > 0));
    latencies.retain(|(_, series)| app.passes(&name(series)));
    let header = vec![table.header(app.theme.title())];
    let count = latencies.len();
    let row = move |i: usize| {
        latencies
            .get(i)
            .map_or_else(Row::default, |(index, series)| row(app, &table, *index, series))
    };
    Page {
        header,
        count,
        row: Box::new(row),
    }
}

fn order(series: &Series) -> usize {
    let stage = series
        .meta
        .label("stage")
        .filter(|_| *series.meta.name == *catalogue::STAGE_LATENCY.name);
    let place = stage.and_then(|stage| catalogue::STAGES.iter().position(|known| *known == stage));
    place.unwrap_or(catalogue::STAGES.len())
}

/// A stage by its own name, another latency by as much of its as tells it apart.
fn name(series: &Series) -> String {
    if *series.meta.name == *catalogue::STAGE_LATENCY.name
        && let Some(stage) = series.meta.label("stage")
    {
        return clean(stage).into_owned();
    }
    let name = series
        .meta
        .name
        .trim_start_matches("hft_")
        .trim_end_matches("_latency_seconds");
    format!("{name} {}", labels(&series.meta))
}

fn row(app: &App, table: &Table, index: usize, series: &Series) -> Row {
    let Some(run) = series.value.histogram() else {
        return Row::default();
    };
    let interval = app.session.interval(index).filter(|interval| interval.count() > 0);
    let base = |raw: u64| latency(series.meta.to_base(raw as f64) * 1e9).replace(' ', "");
    let at = |histogram: Option<&HistogramSnapshot>, percentile| {
        let held = histogram.filter(|histogram| histogram.count() > 0);
        Cell::from(held.map_or("-".into(), |histogram| base(histogram.value_at_percentile(percentile))))
    };
    let max = |histogram: Option<&HistogramSnapshot>| {
        let held = histogram.filter(|histogram| histogram.count() > 0);
        Cell::from(held.map_or("-".into(), |histogram| base(histogram.max())))
    };
    let (now, run) = (interval.as_ref(), Some(run));
    let cells = [
        name(series).into(),
        rate(app.session.rates(index).now).into(),
        at(now, 50.0),
        at(now, 99.0),
        at(now, 99.9),
        max(now),
        moved(app, now, run),
        "|".into(),
        at(run, 50.0),
        at(run, 99.0),
        at(run, 99.9),
        max(run),
    ];
    Row::new(table.row(&cells)).with_help(help_of(&series.meta))
}

/// How the interval's p99 stands to the run's.
fn moved(app: &App, now: Option<&HistogramSnapshot>, run: Option<&HistogramSnapshot>) -> Cell {
    let (Some(now), Some(run)) = (now, run) else {
        return "-".into();
    };
    let (p99, usual) = (
        now.value_at_percentile(99.0) as f64,
        run.value_at_percentile(99.0) as f64,
    );
    if usual == 0.0 {
        return "-".into();
    }
    let times = p99 / usual;
    let style = match times {
        _ if now.count() < RECORDS_LEAST => Default::default(),
        _ if times >= MOVED => app.theme.warn(),
        _ if times <= 1.0 / MOVED => app.theme.good(),
        _ => Default::default(),
    };
    Cell::styled(format!("x{}", short(times)), style)
}
