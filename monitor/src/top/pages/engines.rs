//! The engines of the host, to choose one.

use super::{Page, Row};
use crate::session::Session;
use crate::text::{clean, in_words, rfc3339_seconds};
use crate::top::app::Picker;
use crate::top::table::{Cell, Column, Table, left, rest, right};
use crate::top::theme::Theme;

const COLUMNS: [Column; 5] = [
    left("", 1, 0),
    left("state", 10, 0),
    right("pid", 8, 1),
    left("started", 20, 2),
    rest("file", 12),
];

pub(in crate::top) fn page(picker: &Picker, session: &Session, theme: Theme, width: u16) -> Page<'static> {
    let table = Table::fit(&COLUMNS, width);
    let header = vec![table.header(theme.title())];
    let engines = match &picker.engines {
        Ok(engines) if engines.is_empty() => return Page::of(header, vec![Row::new("no regions here".into())]),
        Ok(engines) => engines,
        Err(error) => return Page::of(header, vec![Row::new(in_words(error).into())]),
    };
    let rows = engines.iter().map(|engine| {
        let (state, help) = match &engine.found {
            Ok((liveness, _)) if liveness.is_running() => (Cell::styled(liveness.name(), theme.good()), None),
            Ok((liveness, _)) => (Cell::styled(liveness.name(), theme.warn()), None),
            Err(error) => (Cell::styled("unreadable", theme.bad()), Some(in_words(error))),
        };
        let mark = if engine.entry.path == session.path() { "*" } else { "" };
        let cells = [
            mark.into(),
            state,
            engine.entry.name.pid.to_string().into(),
            rfc3339_seconds(engine.entry.name.start_unix_ns).into(),
            clean(&engine.entry.name.to_string()).into_owned().into(),
        ];
        Row {
            line: table.row(&cells),
            help,
        }
    });
    Page::of(header, rows.collect())
}
