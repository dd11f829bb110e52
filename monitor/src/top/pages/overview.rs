//! The first pane: how much comes in and goes out, what went wrong, and where each thread is.

use quantumflow_region::{Metric, WriterStatus, catalogue};
use ratatui::text::Line;

use super::{Page, Row, help_for};
use crate::session::{Condition, Now};
use crate::text::{age, clean, count, rate, short};
use crate::top::app::App;
use crate::top::table::{Cell, Column, Table, left, rest, right};

/// What an engine is for, in the order of the path.
const FLOWS: [(&str, &Metric); 7] = [
    ("messages", &catalogue::FEED_MESSAGES),
    ("bytes", &catalogue::FEED_BYTES),
    ("book updates", &catalogue::PRICE_UPDATES),
    ("trades", &catalogue::TRADES_RECEIVED),
    ("features", &catalogue::FEATURES_COMPUTED),
    ("predictions", &catalogue::PREDICTIONS),
    ("signals", &catalogue::SIGNALS_PUBLISHED),
];

/// What should stay zero, the dearest first.
const TROUBLES: [(&str, &Metric); 13] = [
    ("crossed books", &catalogue::BOOK_CROSSED),
    ("checksum failures", &catalogue::BOOK_CHECKSUM_FAILURES),
    ("top disagreements", &catalogue::BOOK_TOP_DISAGREEMENTS),
    ("sequence gaps", &catalogue::BOOK_GAPS),
    ("resyncs", &catalogue::BOOK_RESYNCS),
    ("rows past the known book", &catalogue::FEATURES_BEYOND_HORIZON),
    ("frames rejected", &catalogue::FEED_FRAMES_REJECTED),
    ("feed errors", &catalogue::FEED_ERRORS),
    ("reconnections", &catalogue::FEED_RECONNECTIONS),
    ("queue drops", &catalogue::QUEUE_DROPPED),
    ("capture drops", &catalogue::CAPTURE_FRAMES_DROPPED),
    ("log drops", &catalogue::LOG_EVENTS_DROPPED),
    ("prediction failures", &catalogue::PREDICTION_FAILURES),
];

const COUNTS: [Column; 5] = [
    rest("", 10),
    right("total", 16, 1),
    right("now/s", 8, 0),
    right("10 s", 8, 2),
    right("100 s", 8, 3),
];
const THREADS: [Column; 6] = [
    left("thread", 14, 0),
    right("tid", 8, 3),
    right("cpu", 4, 2),
    right("rounds", 9, 4),
    right("now/s", 8, 1),
    rest("place", 12),
];

pub(super) fn page(app: &App, now: Now, width: u16) -> Page<'static> {
    let table = Table::fit(&COUNTS, width);
    let total = |metric: &Metric| app.session.total(metric, &[]).unwrap_or(0);
    let mut rows: Vec<Row> = FLOWS
        .iter()
        .filter(|(_, metric)| !app.hides_zeros || total(metric) > 0)
        .map(|flow| Row::new(counts(app, &table, *flow, false)).with_help(help_for(app, flow.1)))
        .collect();
    let troubles: Vec<_> = TROUBLES.iter().filter(|(_, metric)| total(metric) > 0).collect();
    let dropped = app.session.latest().snapshot.engine.registrations_dropped;
    let title = if troubles.is_empty() && dropped == 0 {
        "trouble: none"
    } else {
        "trouble"
    };
    rows.push(Row::new(Line::styled(title, app.theme.title())));
    rows.extend(
        troubles
            .into_iter()
            .map(|trouble| Row::new(counts(app, &table, *trouble, true)).with_help(help_for(app, trouble.1))),
    );
    if dropped > 0 {
        let cells = [
            Cell::styled("series without room", app.theme.warn()),
            Cell::from(count(dropped)),
        ];
        rows.push(
            Row::new(table.row(&cells)).with_help(
                "Series and threads that found no room in the region: raise its limits in the configuration.",
            ),
        );
    }
    let table = Table::fit(&THREADS, width);
    rows.push(Row::new(table.header(app.theme.title())));
    let writers = app.session.latest().snapshot.writers.iter().enumerate();
    rows.extend(writers.map(|(i, writer)| Row::new(thread(app, &table, i, writer, now)).with_help(THREAD_HELP)));
    Page::of(vec![Table::fit(&COUNTS, width).header(app.theme.title())], rows)
}

const THREAD_HELP: &str = "A thread's loop: rounds that it finished and the last place that it named. Inside a round and \
    not moving for 5 s: stuck. Between rounds: it waits for work.";

fn counts(app: &App, table: &Table, (name, metric): (&str, &Metric), is_trouble: bool) -> Line<'static> {
    let rates = app.session.rates_with(metric, &[]);
    let total = app.session.total(metric, &[]).map_or("-".into(), count);
    let grows = is_trouble && app.session.delta(metric, &[]).is_some_and(|delta| delta > 0);
    let style = if grows {
        app.theme.bad()
    } else if is_trouble {
        app.theme.warn()
    } else {
        Default::default()
    };
    table.row(&[
        Cell::styled(name, style),
        total.into(),
        rate(rates.now).into(),
        rate(rates.ten).into(),
        rate(rates.hundred).into(),
    ])
}

fn thread(app: &App, table: &Table, index: usize, writer: &WriterStatus, now: Now) -> Line<'static> {
    let inside = writer.loop_begin != writer.loop_end;
    let at = format!(
        "round {}, place {}",
        short(writer.loop_begin as f64),
        catalogue::place(writer.breadcrumb)
    );
    let is_running = matches!(
        app.session.condition(),
        Condition::Live | Condition::Draining | Condition::Stalled(_)
    );
    let place = match (app.session.stuck(index, now), inside) {
        (Some(still), _) => Cell::styled(format!("STUCK {} in {at}", age(still)), app.theme.bad()),
        (None, true) if !is_running => Cell::styled(format!("ended inside {at}"), app.theme.warn()),
        (None, false) if !is_running => "ended between rounds".into(),
        (None, true) => format!("in {at}").into(),
        (None, false) => match app.session.still(index, now) {
            still if still.as_secs() >= 5 => format!("waiting for {}", age(still)).into(),
            _ => "between rounds".into(),
        },
    };
    table.row(&[
        clean(&writer.name).into_owned().into(),
        writer.tid.to_string().into(),
        writer.cpu.map_or("-".to_owned(), |cpu| cpu.to_string()).into(),
        short(writer.loop_end as f64).into(),
        rate(app.session.rounds_per_second(index)).into(),
        place,
    ])
}
