//! What all pictures share: the title, two axes with their grid, and a place beside them for the legend.

use plotters::backend::DrawingBackend;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoTextStyle, RGBColor};

use super::axis::Axis;
use super::{Area, Drawn, FONT, GRID, INK, draw_error};

/// Pixels around the plot: left, top, bottom. What is left on the right is the legend's.
const MARGIN: (i32, i32, i32) = (96, 64, 70);

/// A plot's place on the paper.
pub(super) struct Frame<'a, DB: DrawingBackend> {
    area: &'a Area<DB>,
    x: Axis,
    y: Axis,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl<'a, DB: DrawingBackend> Frame<'a, DB> {
    /// Draws title, axes and grid. `legend_px` is kept free on the right.
    pub(super) fn draw(
        area: &'a Area<DB>,
        title: &str,
        (x, x_title): (Axis, &str),
        (y, y_title): (Axis, &str),
        legend_px: i32,
    ) -> Result<Self, super::PictureError> {
        let (width, height) = area.dim_in_pixel();
        let frame = Self {
            area,
            x,
            y,
            left: MARGIN.0,
            right: width as i32 - legend_px,
            top: MARGIN.1,
            bottom: height as i32 - MARGIN.2,
        };
        // Even sizes only: with an odd one the library rounds the letters of a line to different heights.
        frame.text(title, (frame.left, 22), 22, HPos::Left)?;
        for (value, label) in &frame.x.ticks {
            let x = frame.x_of(*value);
            frame.line([(x, frame.top), (x, frame.bottom + 5)], &GRID, 1)?;
            frame.text(label, (x, frame.bottom + 10), 14, HPos::Center)?;
        }
        for (value, label) in &frame.y.ticks {
            let y = frame.y_of(*value);
            frame.line([(frame.left - 5, y), (frame.right, y)], &GRID, 1)?;
            let style = (FONT, 14)
                .into_text_style(area)
                .color(&INK)
                .pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(label.clone(), (frame.left - 10, y), style))
                .map_err(draw_error)?;
        }
        frame.text(
            x_title,
            ((frame.left + frame.right) / 2, frame.bottom + 38),
            16,
            HPos::Center,
        )?;
        let style = (FONT, 16)
            .into_text_style(area)
            .color(&INK)
            .transform(FontTransform::Rotate270);
        let style = style.pos(Pos::new(HPos::Center, VPos::Top));
        let place = (8, (frame.top + frame.bottom) / 2);
        area.draw(&Text::new(y_title.to_owned(), place, style))
            .map_err(draw_error)?;
        Ok(frame)
    }

    /// Draws the two axes, over whatever was drawn inside.
    pub(super) fn close(&self) -> Drawn {
        let path = vec![
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        self.path(path, &INK, 1)
    }

    pub(super) fn x_of(&self, value: f64) -> i32 {
        self.left + (self.x.place(value) * f64::from(self.right - self.left)).round() as i32
    }

    pub(super) fn y_of(&self, value: f64) -> i32 {
        self.bottom - (self.y.place(value) * f64::from(self.bottom - self.top)).round() as i32
    }

    /// The right edge of the plot and its top: where the legend begins.
    pub(super) fn legend_corner(&self) -> (i32, i32) {
        (self.right, self.top)
    }

    /// Text whose top is at the place.
    pub(super) fn text(&self, text: &str, place: (i32, i32), size: u32, anchor: HPos) -> Drawn {
        let style = (FONT, size)
            .into_text_style(self.area)
            .color(&INK)
            .pos(Pos::new(anchor, VPos::Top));
        self.area
            .draw(&Text::new(text.to_owned(), place, style))
            .map_err(draw_error)
    }

    pub(super) fn line(&self, ends: [(i32, i32); 2], color: &RGBColor, width: u32) -> Drawn {
        self.path(ends.to_vec(), color, width)
    }

    pub(super) fn path(&self, path: Vec<(i32, i32)>, color: &RGBColor, width: u32) -> Drawn {
        self.area
            .draw(&PathElement::new(path, color.stroke_width(width)))
            .map_err(draw_error)
    }

    pub(super) fn fill(&self, corners: [(i32, i32); 2], color: &RGBColor) -> Drawn {
        self.area
            .draw(&Rectangle::new(corners, color.filled()))
            .map_err(draw_error)
    }
}

/// Width of a text in pixels, roughly: enough to keep room for it.
pub(super) fn text_width<DB: DrawingBackend>(area: &Area<DB>, text: &str, size: u32) -> i32 {
    let style = (FONT, size).into_text_style(area);
    // Whoever shows an SVG may have a wider font.
    area.estimate_text_size(text, &style)
        .map_or(0, |(width, _)| (f64::from(width) * 1.1) as i32)
}
