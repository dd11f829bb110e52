//! Models: what they predict, how sure they are, and how long they take.

use std::collections::BTreeSet;

use quantumflow_region::{HistogramSnapshot, Metric, Value, catalogue};

use super::{Page, Row, help_for, help_of};
use crate::text::{clean, count, latency, rate, state_name};
use crate::top::app::App;
use crate::top::table::{Cell, Column, Table, left, rest, right};

const COLUMNS: [Column; 6] = [
    rest("model", 10),
    left("role", 8, 2),
    right("total", 15, 1),
    right("now/s", 8, 0),
    right("10 s", 8, 2),
    right("100 s", 8, 3),
];

pub(super) fn page(app: &App, width: u16) -> Page<'static> {
    let table = Table::fit(&COLUMNS, width);
    let series = app.session.latest().snapshot.series.iter();
    let models: BTreeSet<&str> = series.filter_map(|series| series.meta.label("model_name")).collect();
    let mut rows = Vec::new();
    for model in models.into_iter().filter(|model| app.passes(model)) {
        let labels = [("model_name", model)];
        rows.push(
            Row::new(table.row(&counts(
                app,
                clean(model).into_owned(),
                role(app, &labels),
                &catalogue::PREDICTIONS,
                &labels,
            )))
            .with_help(help_for(app, &catalogue::PREDICTIONS)),
        );
        for class in catalogue::CLASSES {
            let labels = [("model_name", model), ("prediction_class", class)];
            let share = share(app, &labels);
            let name = format!("  {class}{share}");
            rows.push(
                Row::new(table.row(&counts(app, name, "".into(), &catalogue::PREDICTIONS, &labels)))
                    .with_help(help_for(app, &catalogue::PREDICTIONS)),
            );
        }
        rows.push(percentiles(
            app,
            "  confidence",
            &catalogue::PREDICTION_CONFIDENCE,
            &labels,
            |share| format!("{share:.3}"),
        ));
        rows.push(percentiles(
            app,
            "  latency",
            &catalogue::PREDICTION_LATENCY,
            &labels,
            |seconds| latency(seconds * 1e9),
        ));
        rows.push(
            Row::new(table.row(&counts(
                app,
                "  failures".into(),
                "".into(),
                &catalogue::PREDICTION_FAILURES,
                &labels,
            )))
            .with_help(help_for(app, &catalogue::PREDICTION_FAILURES)),
        );
    }
    Page::of(vec![table.header(app.theme.title())], rows)
}

/// Champion, shadow or retired; where the engine does not say, whether it is loaded.
fn role(app: &App, labels: &[(&str, &str)]) -> Cell {
    let state = |series: &quantumflow_region::Series| match series.value {
        Value::State(state) => Some(state_name(&series.meta, state).into_owned()),
        _ => None,
    };
    let role = app.session.series(&catalogue::MODEL_ROLE, labels).and_then(state);
    match app
        .session
        .series(&catalogue::MODEL_LOADED, labels)
        .map(|series| &series.value)
    {
        _ if !app.session.condition().is_up() => "-".into(),
        Some(Value::GaugeI64(1)) => Cell::styled(role.unwrap_or_else(|| "loaded".into()), app.theme.good()),
        Some(Value::GaugeI64(_)) if role.as_deref() == Some("retired") => "retired".into(),
        Some(Value::GaugeI64(_)) => Cell::styled("NO", app.theme.bad()),
        _ => "-".into(),
    }
}

fn counts(app: &App, name: String, role: Cell, metric: &Metric, labels: &[(&str, &str)]) -> [Cell; 6] {
    let rates = app.session.rates_with(metric, labels);
    let total = app.session.total(metric, labels).map_or("-".into(), count);
    [
        name.into(),
        role,
        total.into(),
        rate(rates.now).into(),
        rate(rates.ten).into(),
        rate(rates.hundred).into(),
    ]
}

/// The class's part of all predictions of the model in the run.
fn share(app: &App, labels: &[(&str, &str); 2]) -> String {
    let of = |labels: &[(&str, &str)]| app.session.total(&catalogue::PREDICTIONS, labels).unwrap_or(0);
    match of(&labels[..1]) {
        0 => String::new(),
        all => format!(" {:.1}%", of(labels) as f64 * 100.0 / all as f64),
    }
}

/// The last interval of a histogram, and the run.
fn percentiles(app: &App, name: &str, metric: &Metric, labels: &[(&str, &str)], show: impl Fn(f64) -> String) -> Row {
    let is_of = |series: &&quantumflow_region::Series| {
        *series.meta.name == *metric.name && labels.iter().all(|(n, v)| series.meta.label(n) == Some(*v))
    };
    let all = &app.session.latest().snapshot.series;
    let Some(index) = all.iter().position(|series| is_of(&series)) else {
        return Row::new(format!("{name}: -").into());
    };
    let meta = &all[index].meta;
    let of = |histogram: &HistogramSnapshot| {
        let at = |percentile| show(meta.to_base(histogram.value_at_percentile(percentile) as f64));
        format!("p50 {} p99 {}", at(50.0), at(99.0))
    };
    let held = |histogram: &HistogramSnapshot| histogram.count() > 0;
    let now = app
        .session
        .interval(index)
        .filter(held)
        .map_or("-".into(), |interval| of(&interval));
    let run = all[index]
        .value
        .histogram()
        .filter(|histogram| held(histogram))
        .map_or("-".into(), of);
    Row::new(format!("{name}: now {now} | run {run}").into()).with_help(help_of(meta))
}
