//! The binaries as Lambda starts them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Generous, as a busy machine starts all of them at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The names of all binaries of this package.
fn names() -> Vec<String> {
    let sources = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin")).unwrap();
    sources.map(|source| source.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// The first line that a function sends to Lambda's Runtime API when it is started without any settings.
fn first_request(name: &str) -> String {
    let binary =
        Path::new(env!("CARGO_BIN_EXE_processor")).with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut function = Command::new(&binary)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", api.local_addr().unwrap().to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let (connection, _) = api.accept().unwrap();
        BufReader::new(connection).read_line(&mut line).unwrap();
        let _ = sender.send(line);
    });
    let line = receiver.recv_timeout(PATIENCE);
    function.kill().unwrap();
    function.wait().unwrap();
    line.unwrap_or_else(|_| panic!("{name} asked for no invocation"))
}

#[test]
fn a_function_without_settings_still_asks_for_requests_to_answer() {
    let names = names();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert_eq!(first_request(&name).trim_end(), "GET /2018-06-01/runtime/invocation/next HTTP/1.1", "{name}");
    }
}
