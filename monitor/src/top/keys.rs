//! What each key asks for. One list, from which the help is made, too.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Suspend,
    Pane(usize),
    NextPane,
    PreviousPane,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Filter,
    Pause,
    Faster,
    Slower,
    HideZeros,
    Engines,
    Help,
    Redraw,
    Accept,
    Cancel,
    /// While a filter is typed.
    Type(char),
    Erase,
    EraseAll,
}

/// Keys and their meaning, for the help.
pub(super) const HELP: [(&str, &str); 13] = [
    ("TAB, 1-6", "next pane, or that one"),
    ("up/down, k/j", "choose a row; its help is at the bottom"),
    ("PgUp/PgDn, g/G", "a page; first and last row"),
    ("/", "show only rows with this text; Enter keeps it, Esc drops it"),
    ("z", "hide or show series that never counted anything"),
    (
        "p, space",
        "pause: the numbers stand still, the engine's state does not",
    ),
    ("+ -", "look more or less often (0.1 s to 10 s)"),
    ("e", "the engines of this host: Enter watches one"),
    ("?", "this help"),
    ("Ctrl-L", "draw everything again"),
    ("Ctrl-Z", "suspend"),
    ("Esc", "close what is open, drop the filter"),
    ("q, Ctrl-C", "quit"),
];

/// What the key asks for; `typing` while a filter is typed.
pub(super) fn action(key: KeyEvent, typing: bool) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('l') => Some(Action::Redraw),
            KeyCode::Char('u') if typing => Some(Action::EraseAll),
            _ => None,
        };
    }
    let any = match key.code {
        KeyCode::Up => Some(Action::Up),
        KeyCode::Down => Some(Action::Down),
        KeyCode::PageUp => Some(Action::PageUp),
        KeyCode::PageDown => Some(Action::PageDown),
        KeyCode::Home => Some(Action::First),
        KeyCode::End => Some(Action::Last),
        KeyCode::Enter => Some(Action::Accept),
        KeyCode::Esc => Some(Action::Cancel),
        KeyCode::Tab => Some(Action::NextPane),
        KeyCode::BackTab => Some(Action::PreviousPane),
        _ => None,
    };
    if any.is_some() {
        return any;
    }
    match key.code {
        KeyCode::Char(c) if typing => Some(Action::Type(c)),
        KeyCode::Backspace if typing => Some(Action::Erase),
        KeyCode::Char('q') => Some(Action::Quit),
        KeyCode::Char(c @ '1'..='9') => Some(Action::Pane(c as usize - '1' as usize)),
        KeyCode::Char('k') => Some(Action::Up),
        KeyCode::Char('j') => Some(Action::Down),
        KeyCode::Char('g') => Some(Action::First),
        KeyCode::Char('G') => Some(Action::Last),
        KeyCode::Char('/') => Some(Action::Filter),
        KeyCode::Char('p' | ' ') => Some(Action::Pause),
        KeyCode::Char('+' | '=') => Some(Action::Faster),
        KeyCode::Char('-' | '_') => Some(Action::Slower),
        KeyCode::Char('z') => Some(Action::HideZeros),
        KeyCode::Char('e') => Some(Action::Engines),
        KeyCode::Char('?' | 'h') => Some(Action::Help),
        KeyCode::Left => Some(Action::PreviousPane),
        KeyCode::Right => Some(Action::NextPane),
        _ => None,
    }
}
