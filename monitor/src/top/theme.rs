//! How things look, with colours and without.

use ratatui::style::{Color, Modifier, Style};

/// Styles by meaning. Without colours (NO_COLOR), weight and reversal say the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colours: bool,
}

impl Theme {
    /// As the environment wants it.
    pub(super) fn from_env() -> Self {
        Self {
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { colours: false }
    }

    fn with(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colours { style.fg(colour) } else { style }
    }

    pub(super) fn title(self) -> Style {
        self.with(Color::Cyan, Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.with(Color::Green, Modifier::empty())
    }

    pub(super) fn warn(self) -> Style {
        self.with(Color::Yellow, Modifier::BOLD)
    }

    /// Cannot be missed, also by someone who sees no red.
    pub(super) fn bad(self) -> Style {
        self.with(Color::Red, Modifier::BOLD.union(Modifier::REVERSED))
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
