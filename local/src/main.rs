//! The development server's command line.
fn main() {}
