//! Pictures of latency, as SVG and PNG from the same drawing.
//!
//! SVG leaves letters to whoever shows it. PNG is drawn with a font that is compiled in (the Latin letters and digits of
//! DejaVu Sans, licence beside it in `src/font`), so that a server without a single font draws the same picture.

mod axis;
mod frame;
pub(crate) mod heatmap;
pub(crate) mod percentiles;
mod png;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::style::{FontStyle, RGBColor, register_font};

/// Width and height in pixels.
pub(crate) const SIZE: (u32, u32) = (1280, 760);

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const FONT: &str = "sans-serif";

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    #[error("{0}: pictures are .svg or .png")]
    Kind(PathBuf),
    #[error("failed to draw: {0}")]
    Draw(String),
    #[error("failed to write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The area that a picture draws on.
type Area<DB> = DrawingArea<DB, Shift>;
type Drawn = Result<(), PictureError>;

fn draw_error(error: impl std::fmt::Display) -> PictureError {
    PictureError::Draw(error.to_string())
}

/// Something that can be drawn on either kind of paper.
pub(crate) trait Picture {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn;
}

/// The kind of file that a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Svg,
    Png,
}

impl Kind {
    pub(crate) fn of(path: &Path) -> Result<Self, PictureError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(PictureError::Kind(path.to_path_buf())),
        }
    }
}

/// Draws into a file, SVG or PNG by its name.
pub(crate) fn save(picture: &impl Picture, path: &Path) -> Drawn {
    let bytes = render(picture, Kind::of(path)?)?;
    std::fs::write(path, bytes).map_err(|source| PictureError::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// The bytes of a file.
pub(crate) fn render(picture: &impl Picture, kind: Kind) -> Result<Vec<u8>, PictureError> {
    load_font()?;
    match kind {
        Kind::Svg => {
            let mut text = String::new();
            draw_on(picture, SVGBackend::with_string(&mut text, SIZE))?;
            Ok(text.into_bytes())
        }
        Kind::Png => {
            let mut pixels = vec![0; (SIZE.0 * SIZE.1 * 3) as usize];
            draw_on(picture, BitMapBackend::with_buffer(&mut pixels, SIZE))?;
            png::encode(&pixels, SIZE).map_err(draw_error)
        }
    }
}

fn draw_on<DB: DrawingBackend>(picture: &impl Picture, backend: DB) -> Drawn {
    let area = backend.into_drawing_area();
    area.fill(&PAPER).map_err(draw_error)?;
    picture.draw(&area)?;
    area.present().map_err(draw_error)
}

/// Once in a process: the library keeps fonts by name.
fn load_font() -> Drawn {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let bytes = include_bytes!("../font/DejaVuSans-subset.ttf");
    match LOADED.get_or_init(|| register_font(FONT, FontStyle::Normal, bytes).is_ok()) {
        true => Ok(()),
        false => Err(PictureError::Draw("the font is damaged".to_owned())),
    }
}
