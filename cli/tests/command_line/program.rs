//! Starts the program.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn program(data_directory: &Path, arguments: &[&str]) -> Command {
    let mut command = program_alone(arguments);
    command.arg("--data-directory").arg(data_directory);
    command
}

/// The program without a data directory.
pub(crate) fn program_alone(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-intake"));
    command.args(arguments);
    command.env_remove("CARGO").env_remove("COLUMNS").env("http_proxy", "http://192.0.2.1:9").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(data_directory: &Path, arguments: &[&str]) -> Output {
    program(data_directory, arguments).output().unwrap()
}

/// Runs the program with this on its standard input.
pub(crate) fn run_with_input(data_directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut command = program(data_directory, arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

pub(crate) fn output(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server on a port of its own, killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// What it printed when it began to serve.
    pub(crate) greeting: String,
}

impl Server {
    pub(crate) fn start(data_directory: &Path) -> Self {
        Self::start_logging(data_directory, "off", Stdio::inherit())
    }

    /// The same with a log of this level.
    pub(crate) fn start_logging(data_directory: &Path, level: &str, log: Stdio) -> Self {
        let mut child = program(data_directory, &["serve", "--listen", "127.0.0.1:0", "--log-level", level])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // From here on it is killed on every way out, so that a test that fails leaves none behind.
        let mut server = Self { child, url: String::new(), greeting: String::new() };
        for line in stdout.lines().map(Result::unwrap) {
            server.greeting += &(line + "\n");
            if server.greeting.contains("/oauth/token") {
                break;
            }
        }
        let url = server.greeting.split_whitespace().nth(2).expect("a line such as 'Serving on http://…'");
        server.url = url.to_owned();
        server
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it, and starts another one, which has no key cached.
    pub(crate) fn restarted(self, data_directory: &Path) -> Self {
        self.kill();
        Self::start(data_directory)
    }

    /// Asks it to end, and returns whether it did so in good order.
    #[cfg(unix)]
    pub(crate) fn terminate(mut self) -> bool {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// The health answer's body.
    pub(crate) fn health(&self) -> String {
        exchange(self.address(), "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    }

    pub(crate) fn wait_until_drained(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.health().contains("\"queued\":0") {
            assert!(Instant::now() < until, "the queue is not drained: {}", self.health());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a raw request and returns the raw answer.
pub(crate) fn exchange(address: &str, request: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The cells of a printed table's rows, without the header; wrapped lines are joined.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('│')) {
        let cells: Vec<&str> = line.trim_matches('│').split('┆').map(str::trim).collect();
        match rows.last_mut() {
            Some(row) if cells[0].is_empty() => {
                for (cell, more) in row.iter_mut().zip(cells) {
                    if !more.is_empty() {
                        *cell += &format!(" {more}");
                    }
                }
            }
            _ => rows.push(cells.into_iter().map(str::to_owned).collect()),
        }
    }
    rows.drain(..1);
    rows
}
