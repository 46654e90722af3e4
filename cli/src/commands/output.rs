//! What commands print: texts, JSON lines and bytes on standard output, and remarks beside it.

use std::io;

use super::error::CommandError;
use crate::terminal;

/// Prints a text that was laid out. What a terminal would obey is escaped; where a line break would change the layout, the
/// value is escaped with [`terminal::escape`] before. A reader that has seen enough, such as `head`, is not a failure.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    write_to_stdout(terminal::escape_lines(text).as_bytes())
}

/// Prints a text with colours, if standard output takes them. Its author has escaped what comes from outside.
pub(super) fn print_styled(text: &str) -> Result<(), CommandError> {
    let mut output = anstream::stdout().lock();
    match io::Write::write_all(&mut output, text.as_bytes()).and_then(|()| io::Write::flush(&mut output)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Terminal(error)),
        _ => Ok(()),
    }
}

/// Prints JSON texts, one a line.
pub(super) fn print_json_lines(text: &str) -> Result<(), CommandError> {
    write_to_stdout(terminal::escape_json_lines(text).as_bytes())
}

/// Writes bytes as they are.
pub(super) fn write_to_stdout(bytes: &[u8]) -> Result<(), CommandError> {
    write_while_read(bytes).map(|_| ())
}

/// The same, and returns whether anybody still reads.
pub(super) fn write_while_read(bytes: &[u8]) -> Result<bool, CommandError> {
    let mut output = io::stdout().lock();
    match io::Write::write_all(&mut output, bytes).and_then(|()| io::Write::flush(&mut output)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CommandError::Terminal(error)),
    }
}

/// Whether anybody still reads standard output, as far as that is known before something is written to it.
#[cfg(unix)]
pub(super) fn is_read() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let output = io::stdout();
    let mut polled = [PollFd::new(&output, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // The reader of a pipe that has gone is an error or a hang-up, depending on the system.
    let has_gone = |polled: &PollFd<'_>| polled.revents().intersects(PollFlags::ERR | PollFlags::HUP);
    poll(&mut polled, Some(&at_once)).is_err() || !polled.iter().any(has_gone)
}

/// The same, where it is known only when something is written.
#[cfg(not(unix))]
pub(super) const fn is_read() -> bool {
    true
}

/// Prints a text beside the output.
pub(super) fn explain(text: &str) -> Result<(), CommandError> {
    let text = terminal::escape_lines(text);
    io::Write::write_all(&mut io::stderr().lock(), text.as_bytes()).map_err(CommandError::Terminal)
}
