//! Feeds and books: what each exchange sends, and how far each book can be trusted.

use std::time::Duration;

use quantumflow_region::{Metric, Series, Value, catalogue};
use ratatui::text::Line;

use super::{Page, Row, help_of};
use crate::session::Now;
use crate::text::{age, clean, count, latency, quantity, rate, short};
use crate::top::app::App;
use crate::top::table::{Cell, Column, Table, left, rest, right};

const FEEDS: [Column; 8] = [
    rest("feed", 9),
    left("health", 7, 0),
    right("msg/s", 7, 1),
    right("MB/s", 6, 4),
    right("last", 7, 2),
    right("lag", 8, 3),
    right("errors", 7, 3),
    right("reconn", 7, 2),
];
const BOOKS: [Column; 11] = [
    left("venue", 8, 5),
    rest("symbol", 9),
    left("quality", 12, 0),
    right("bid", 11, 1),
    right("ask", 11, 1),
    right("spread", 8, 3),
    right("levels", 6, 4),
    right("upd/s", 7, 2),
    right("gaps", 5, 3),
    right("resync", 6, 4),
    right("crc bad", 7, 5),
];

pub(super) fn page(app: &App, now: Now, width: u16) -> Page<'_> {
    let snapshot = &app.session.latest().snapshot;
    let (feeds, books) = (Table::fit(&FEEDS, width), Table::fit(&BOOKS, width));
    let header = vec![feeds.header(app.theme.title())];
    let feed_of = |series| Some(Entry::Feed(series, series.meta.label("exchange")?));
    let book_of = |series| {
        Some(Entry::Book(
            series,
            series.meta.label("exchange")?,
            series.meta.label("symbol")?,
        ))
    };
    let mut entries: Vec<Entry<'_>> = snapshot
        .family(catalogue::FEED_MESSAGES.name)
        .filter_map(feed_of)
        .collect();
    entries.push(Entry::Title);
    entries.extend(snapshot.family(catalogue::BOOK_QUALITY.name).filter_map(book_of));
    entries.retain(|entry| match entry {
        Entry::Feed(_, exchange) => app.passes(exchange),
        Entry::Title => true,
        Entry::Book(_, exchange, symbol) => app.passes(&format!("{exchange} {symbol}")),
    });
    let count = entries.len();
    // A venue has hundreds of books, and each row asks for a dozen series: only those in sight are made.
    let row = move |i: usize| match entries.get(i) {
        Some(Entry::Feed(series, exchange)) => feed(app, &feeds, exchange, now).with_help(help_of(&series.meta)),
        Some(Entry::Book(series, exchange, symbol)) => {
            Row::new(book(app, &books, exchange, symbol)).with_help(help_of(&series.meta))
        }
        Some(Entry::Title) => Row::new(books.header(app.theme.title())),
        None => Row::default(),
    };
    Page {
        header,
        count,
        row: Box::new(row),
    }
}

enum Entry<'a> {
    Feed(&'a Series, &'a str),
    /// The names of the books' columns.
    Title,
    Book(&'a Series, &'a str, &'a str),
}

fn feed(app: &App, table: &Table, exchange: &str, now: Now) -> Row {
    let labels = &[("exchange", exchange)][..];
    let session = &app.session;
    let health = match session
        .series(&catalogue::FEED_HEALTH, labels)
        .map(|series| &series.value)
    {
        // What a dead engine said of its connections is no news of them.
        _ if !session.condition().is_up() => "-".into(),
        Some(Value::GaugeI64(1)) => Cell::styled("ok", app.theme.good()),
        Some(Value::GaugeI64(_)) => Cell::styled("DOWN", app.theme.bad()),
        _ => "-".into(),
    };
    let last = match session
        .series(&catalogue::FEED_LAST_MESSAGE, labels)
        .map(|series| &series.value)
    {
        Some(Value::Timestamp(at)) if *at > 0 => age(Duration::from_nanos(now.unix_ns.saturating_sub(*at))),
        _ => "-".into(),
    };
    let lag = session
        .series(&catalogue::FEED_LAG, labels)
        .and_then(|series| Some((series, series.value.as_f64()?)));
    let lag = lag.map_or("-".into(), |(series, raw)| {
        latency(series.meta.to_base(raw) * 1e9).replace(' ', "")
    });
    let bytes = session
        .rates_with(&catalogue::FEED_BYTES, labels)
        .now
        .map(|bytes| bytes / 1e6);
    Row::new(table.row(&[
        clean(exchange).into_owned().into(),
        health,
        rate(session.rates_with(&catalogue::FEED_MESSAGES, labels).now).into(),
        rate(bytes).into(),
        last.into(),
        lag.into(),
        trouble(app, &catalogue::FEED_ERRORS, labels),
        trouble(app, &catalogue::FEED_RECONNECTIONS, labels),
    ]))
}

fn book(app: &App, table: &Table, exchange: &str, symbol: &str) -> Line<'static> {
    let labels = &[("exchange", exchange), ("symbol", symbol)][..];
    let session = &app.session;
    let price = |metric| {
        let series = session.series(metric, labels).filter(|series| !series.retired);
        series.map_or("-".into(), |series| {
            quantity(&series.meta, series.value.as_f64().unwrap_or(f64::NAN))
        })
    };
    let levels = session.latest().snapshot.total(catalogue::BOOK_LEVELS.name, labels);
    table.row(&[
        clean(exchange).into_owned().into(),
        clean(symbol).into_owned().into(),
        quality(app, labels),
        price(&catalogue::BEST_BID).into(),
        price(&catalogue::BEST_ASK).into(),
        spread(app, labels).into(),
        short(levels).into(),
        rate(session.rates_with(&catalogue::PRICE_UPDATES, labels).now).into(),
        trouble(app, &catalogue::BOOK_GAPS, labels),
        trouble(app, &catalogue::BOOK_RESYNCS, labels),
        trouble(app, &catalogue::BOOK_CHECKSUM_FAILURES, labels),
    ])
}

/// The engine's own number, rounded: it is a difference of two floats.
fn spread(app: &App, labels: &[(&str, &str)]) -> String {
    let spread = app
        .session
        .series(&catalogue::SPREAD, labels)
        .and_then(|series| series.value.as_f64());
    match spread {
        Some(spread) if spread.is_finite() => {
            let digits = format!("{spread:.8}");
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => "-".into(),
    }
}

fn quality(app: &App, labels: &[(&str, &str)]) -> Cell {
    let Some(series) = app.session.series(&catalogue::BOOK_QUALITY, labels) else {
        return "-".into();
    };
    let Value::State(state) = series.value else {
        return "?".into();
    };
    let name = crate::text::state_name(&series.meta, state).into_owned();
    if !app.session.condition().is_up() {
        return format!("({name})").into();
    }
    let style = match &*name {
        "verified" => app.theme.good(),
        "unverified" => Default::default(),
        "stale" | "resyncing" => app.theme.warn(),
        _ => app.theme.bad(),
    };
    Cell::styled(name, style)
}

/// A count that should stay zero.
fn trouble(app: &App, metric: &Metric, labels: &[(&str, &str)]) -> Cell {
    let Some(total) = app.session.total(metric, labels) else {
        return "-".into();
    };
    let style = match app.session.delta(metric, labels) {
        Some(1..) => app.theme.bad(),
        _ if total > 0 => app.theme.warn(),
        _ => Default::default(),
    };
    Cell::styled(count(total), style)
}
