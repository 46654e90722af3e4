//! The colours of lines on a terminal. `anstream` writes them where they are wanted: on a terminal, unless `NO_COLOR` is set.

use anstyle::{AnsiColor, Color, Effects, Style};

/// All is well.
pub(super) const OK: Style = colour(AnsiColor::Green);
/// Known already.
pub(super) const KNOWN: Style = colour(AnsiColor::Cyan);
/// Somebody should look at it.
pub(super) const WARNING: Style = colour(AnsiColor::Yellow);
/// Refused, or failed.
pub(super) const ERROR: Style = colour(AnsiColor::Red);
/// What is less important.
pub(super) const FAINT: Style = Style::new().effects(Effects::DIMMED);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}
