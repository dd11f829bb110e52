//! Every series of the region, whatever wrote it: searchable, with what each has grown by.

use quantumflow_region::SeriesMeta;

use super::{Page, Row, help_of};
use crate::history::counted;
use crate::text::{clean, rate, series_name, value};
use crate::top::app::App;
use crate::top::table::{Column, Table, rest, right};

const COLUMNS: [Column; 5] = [
    rest("series", 38),
    right("value", 22, 1),
    right("now/s", 8, 0),
    right("10 s", 8, 2),
    right("100 s", 8, 3),
];

pub(super) fn page(app: &App, width: u16) -> Page<'_> {
    let table = Table::fit(&COLUMNS, width);
    let all = &app.session.latest().snapshot.series;
    let shown: Vec<usize> = (0..all.len())
        .filter(|index| !app.hides_zeros || counted(&all[*index].value) != Some(0))
        .filter(|index| app.filter.is_empty() || app.passes(&series_name(&all[*index].meta)))
        .collect();
    let header = vec![table.header(app.theme.title())];
    let count = shown.len();
    let row = move |i: usize| {
        let Some((index, series)) = shown.get(i).and_then(|index| Some((*index, all.get(*index)?))) else {
            return Row::default();
        };
        let rates = app.session.rates(index);
        let retired = if series.retired { " (retired)" } else { "" };
        let cells = [
            name(&series.meta, width).into(),
            format!("{}{retired}", value(series)).into(),
            rate(rates.now).into(),
            rate(rates.ten).into(),
            rate(rates.hundred).into(),
        ];
        Row::new(table.row(&cells)).with_help(help_of(&series.meta))
    };
    Page {
        header,
        count,
        row: Box::new(row),
    }
}

/// In a narrow terminal the labels' values alone: what tells series apart should not be cut off. The help has the names.
fn name(meta: &SeriesMeta, width: u16) -> String {
    if width >= WIDE || meta.labels.is_empty() {
        return series_name(meta);
    }
    let values: Vec<_> = meta.labels.iter().map(|(_, value)| clean(value)).collect();
    format!("{}{{{}}}", clean(&meta.name), values.join(","))
}

const WIDE: u16 = 110;
