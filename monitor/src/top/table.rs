//! Columns that fit: those that matter least go first when the terminal is narrow, and one takes what is left.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    /// Cells; of the flexible column those that it wants before others may stay.
    width: u16,
    align: Align,
    /// Columns of a larger number go first.
    rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Align {
    Left,
    Right,
    /// Left, and as wide as there is room.
    Rest,
}

/// A column of text.
pub(super) const fn left(title: &'static str, width: u16, rank: u8) -> Column {
    Column {
        title,
        width,
        align: Align::Left,
        rank,
    }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str, width: u16, rank: u8) -> Column {
    Column {
        title,
        width,
        align: Align::Right,
        rank,
    }
}

/// The one column that takes what is left. It never goes.
pub(super) const fn rest(title: &'static str, least: u16) -> Column {
    Column {
        title,
        width: least,
        align: Align::Rest,
        rank: 0,
    }
}

/// Of the flexible column where all others that may go are gone; beyond that the screen cuts.
const REST_LEAST: u16 = 6;

/// The columns that fit a width.
#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: Vec<(usize, Column)>,
}

/// What stands in one place of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl Table {
    pub(super) fn fit(columns: &[Column], width: u16) -> Self {
        let mut kept: Vec<(usize, Column)> = columns.iter().copied().enumerate().collect();
        let needed = |kept: &[(usize, Column)]| kept.iter().map(|(_, column)| column.width + 1).sum::<u16>();
        let room = width.saturating_add(1);
        while needed(&kept) > room && kept.len() > 1 {
            let least = (0..kept.len()).rev().max_by_key(|i| (kept[*i].1.rank, *i)).unwrap_or(0);
            if kept[least].1.rank == 0 {
                break;
            }
            kept.remove(least);
        }
        let needed = needed(&kept);
        if let Some((_, column)) = kept.iter_mut().find(|(_, column)| column.align == Align::Rest) {
            column.width = column.width.saturating_add(room).saturating_sub(needed).max(REST_LEAST);
        }
        Self { columns: kept }
    }

    pub(super) fn header(&self, style: Style) -> Line<'static> {
        let titles = self
            .columns
            .iter()
            .map(|(_, column)| Span::styled(padded(column.title, column), style));
        Line::from(apart(titles))
    }

    /// One row. `cells` are those of all columns, also of the ones that do not fit.
    pub(super) fn row(&self, cells: &[Cell]) -> Line<'static> {
        let spans = self.columns.iter().filter_map(|(index, column)| {
            let cell = cells.get(*index)?;
            Some(Span::styled(padded(&cell.text, column), cell.style))
        });
        Line::from(apart(spans))
    }
}

fn apart(spans: impl Iterator<Item = Span<'static>>) -> Vec<Span<'static>> {
    let mut out = Vec::new();
    for span in spans {
        if !out.is_empty() {
            out.push(Span::raw(" "));
        }
        out.push(span);
    }
    out
}

fn padded(text: &str, column: &Column) -> String {
    let width = usize::from(column.width);
    let text = cut(text, width);
    let space = " ".repeat(width.saturating_sub(width_of(&text)));
    match column.align {
        Align::Right => space + &text,
        Align::Left | Align::Rest => text + &space,
    }
}

/// The text in at most so many cells; what is cut off shows as `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = width_of(c.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

fn width_of(text: &str) -> usize {
    Span::raw(text).width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_matter_least_go_first_and_the_rest_fills() {
        let columns = [
            rest("name", 6),
            right("now", 4, 1),
            right("10 s", 4, 2),
            right("max", 4, 3),
        ];
        let at = |width| Table::fit(&columns, width).header(Style::new()).to_string();
        assert_eq!(at(24), "name       now 10 s  max");
        assert_eq!(at(21), "name    now 10 s  max");
        assert_eq!(at(20), "name        now 10 s");
        assert_eq!(at(12), "name     now");
        assert_eq!(at(3), "name  ", "never without its first column: the screen cuts it");
    }

    #[test]
    fn long_text_is_cut_by_cells_not_bytes() {
        assert_eq!(cut("BTC/USD", 7), "BTC/USD");
        assert_eq!(cut("BTC/USDT", 7), "BTC/US…");
        assert_eq!(cut("比特币比特", 7), "比特币…");
        assert_eq!(cut("比特", 1), "…");
        assert_eq!(cut("x", 0), "");
    }
}
