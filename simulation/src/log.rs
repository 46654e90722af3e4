//! The lines that the flows log, as they are written in production, to be searched.
//!
//! One subscriber serves every thread: with one for each run, a run that ends while another begins could switch a line off.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use intake_pipeline::telemetry::json_lines;
use tracing::level_filters::LevelFilter;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLines;

impl io::Write for ThreadLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts recording the lines of this thread, and forgets those before.
pub(crate) fn record() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // Only in a program that has a subscriber of its own would this fail, and then no line is found and every run fails.
        let _ = tracing::subscriber::set_global_default(json_lines(LevelFilter::INFO, || ThreadLines));
    });
    LINES.with_borrow_mut(Vec::clear);
}

/// The lines since then.
pub(crate) fn lines() -> String {
    LINES.with_borrow(|lines| String::from_utf8_lossy(lines).into_owned())
}
