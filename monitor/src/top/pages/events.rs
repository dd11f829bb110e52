//! The flight recorder's last events, the newest first.

use std::time::Duration;

use super::{Page, Row};
use crate::region::event_in_words;
use crate::session::Now;
use crate::text::{age, clean, rfc3339};
use crate::top::app::App;
use crate::top::table::{Column, Table, left, rest, right};

const COLUMNS: [Column; 4] = [
    left("time", 30, 2),
    right("ago", 7, 0),
    left("thread", 10, 1),
    rest("event", 20),
];

pub(super) fn page(app: &App, now: Now, width: u16) -> Page<'_> {
    let table = Table::fit(&COLUMNS, width);
    let header = vec![table.header(app.theme.title())];
    if app.events.is_empty() {
        let none = if app.has_recorder {
            "no events yet"
        } else {
            "this region has no flight recorder"
        };
        return Page::of(header, vec![Row::new(none.into())]);
    }
    let shown: Vec<_> = app
        .events
        .iter()
        .rev()
        .filter(|(writer, event)| app.passes(&format!("{writer} {event}")))
        .collect();
    let count = shown.len();
    let row = move |i: usize| {
        let Some((writer, event)) = shown.get(i) else {
            return Row::default();
        };
        let ago = Duration::from_nanos(now.unix_ns.saturating_sub(event.unix_ns));
        let cells = [
            rfc3339(event.unix_ns).into(),
            age(ago).into(),
            clean(writer).into_owned().into(),
            event_in_words(event).into(),
        ];
        Row::new(table.row(&cells)).with_help(format!("{}: {}", event_in_words(event), clean(&event.kind.help)))
    };
    Page {
        header,
        count,
        row: Box::new(row),
    }
}
