use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::program::{errors, output, program, run};

const SECRET: &str = "nobody else's";

/// A small NurtureCloud. It checks the credentials, remembers what it was asked, and answers as it is told, else 202.
struct NurtureCloud {
    base_url: String,
    asked: Arc<Mutex<Vec<String>>>,
    replies: Arc<Mutex<VecDeque<u16>>>,
    data: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl NurtureCloud {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, replies) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(VecDeque::new())));
        let (log, next) = (Arc::clone(&asked), Arc::clone(&replies));
        let routes = Router::new().fallback(move |request: Request| {
            let answer = answer(&request, &log, &next);
            async move { answer }
        });
        runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { base_url, asked, replies, data: tempfile::tempdir().unwrap(), runtime }
    }

    fn reply(&self, statuses: &[u16]) {
        *self.replies.lock().unwrap() = statuses.iter().copied().collect();
    }

    /// What was asked since the last time, without the prefix.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    fn secret_file(&self, secret: &str) -> String {
        let path = self.data.path().join("secret");
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn resync(&self, arguments: &[&str]) -> Output {
        let secret_file = self.secret_file(SECRET);
        let usual = ["resync", "--base-url", &self.base_url, "--client-id", "me", "--client-secret-file", &secret_file];
        run(&self.data(), &[&usual[..], &["--calls-per-minute", "6000"], arguments].concat())
    }
}

fn answer(request: &Request, log: &Mutex<Vec<String>>, next: &Mutex<VecDeque<u16>>) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    log.lock().unwrap().push(line.strip_prefix("POST /v1/business/").unwrap_or(&line).to_owned());
    let expected = format!("Basic {}", STANDARD.encode(format!("me:{SECRET}")));
    if request.headers().get(AUTHORIZATION).is_none_or(|value| *value != *expected) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match next.lock().unwrap().pop_front().unwrap_or(202) {
        429 => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "0")]).into_response(),
        302 => (StatusCode::FOUND, [(LOCATION, "/v1/business/elsewhere")]).into_response(),
        status => StatusCode::from_u16(status).unwrap().into_response(),
    }
}

fn succeeded(output: &Output) -> bool {
    assert!(!self::output(output).contains(SECRET) && !errors(output).contains(SECRET));
    output.status.success()
}

const TWO: [&str; 4] = ["--business", "b1", "--component", "contacts,agent"];

#[test]
fn everything_is_asked_for_and_the_answers_are_shown() {
    let cloud = NurtureCloud::start();
    let ran = cloud.resync(&[&TWO[..], &["--since", "2026-01-01"]].concat());
    let text = output(&ran);
    assert!(succeeded(&ran), "{text}{}", errors(&ran));
    assert_eq!(
        text,
        "b1 contact since=2026-01-01: 202 accepted\nb1 agent since=2026-01-01: 202 accepted\n\
         2 accepted, 0 not accepted, 0 not asked: every call was accepted.\n"
    );
    assert_eq!(cloud.asked(), ["b1/contact/sync-all?since=2026-01-01", "b1/agent/sync-all?since=2026-01-01"]);
}

#[test]
fn what_was_not_accepted_is_asked_for_again_with_the_same_since() {
    let cloud = NurtureCloud::start();
    let since = [&TWO[..], &["--since", "2026-01-01"]].concat();
    cloud.reply(&[429, 202, 302]);
    let ran = cloud.resync(&since);
    let text = output(&ran);
    assert!(!succeeded(&ran), "{text}");
    assert!(text.contains("b1 contact since=2026-01-01: 429 again in 0 s (throttled)"), "{text}");
    assert!(text.contains("b1 agent since=2026-01-01: 302 not accepted (unexpected-answer)"), "{text}");
    assert!(text.contains("some calls were not accepted; call the command again to ask for the same.\n"), "{text}");
    assert_eq!(cloud.asked().len(), 3, "the redirect is not followed");

    assert!(succeeded(&cloud.resync(&TWO)));
    let asked = cloud.asked();
    assert!(asked.iter().any(|line| line == "b1/agent/sync-all?since=2026-01-01"), "{asked:?}");
    assert!(!asked.iter().any(|line| line == "b1/contact/sync-all?since=2026-01-01"), "{asked:?}");
}

#[test]
fn a_run_that_was_cut_off_goes_on_unless_it_is_to_start_over() {
    let cloud = NurtureCloud::start();
    let three = ["--business", "b1", "--component", "contact,agent,agency"];
    let cut_off = || {
        cloud.reply(&[202, 401]);
        let ran = cloud.resync(&[&three[..], &["--since", "2026-01-01"]].concat());
        assert!(!succeeded(&ran) && output(&ran).contains("nurturecloud refused the credentials"), "{}", output(&ran));
        assert_eq!(cloud.asked().len(), 2);
    };
    cut_off();
    assert!(succeeded(&cloud.resync(&three)));
    assert_eq!(cloud.asked(), ["b1/agency/sync-all?since=2026-01-01", "b1/agent/sync-all?since=2026-01-01"]);
    cut_off();
    assert!(succeeded(&cloud.resync(&[&three[..], &["--since", "2026-02-02", "--start-over"]].concat())));
    assert!(cloud.asked().iter().all(|line| line.ends_with("since=2026-02-02")));
}

#[test]
fn single_entities_are_asked_for() {
    let cloud = NurtureCloud::start();
    cloud.reply(&[404]);
    let ran = cloud.resync(&["--business", "b1", "--component", "agencies", "--id", "1", "--id", "a/2"]);
    assert!(!succeeded(&ran));
    assert!(output(&ran).contains("b1 agency id=1: 404 not accepted (refused)"), "{}", output(&ran));
    assert_eq!(cloud.asked(), ["b1/agency/sync-by-id?id=1", "b1/agency/sync-by-id?id=a%2F2"]);
}

#[test]
fn the_credentials_may_come_from_the_environment() {
    let cloud = NurtureCloud::start();
    let resync = |secret: &str| {
        let arguments = ["resync", "--base-url", &cloud.base_url, "--calls-per-minute", "6000"];
        let mut command = program(&cloud.data(), &[&arguments[..], &TWO].concat());
        command.env("NURTURECLOUD_CLIENT_ID", "me").env("NURTURECLOUD_CLIENT_SECRET", secret).output().unwrap()
    };
    assert!(succeeded(&resync(SECRET)));
    let refused = resync("another");
    assert!(!succeeded(&refused) && output(&refused).contains("401 not accepted (credentials-wrong)"));
    assert_eq!(cloud.asked().len(), 3, "one 401 ends the run");
}

#[test]
fn a_server_that_is_gone_is_named_without_what_was_asked() {
    let cloud = NurtureCloud::start();
    // Nobody listens there any more, and one call is enough to see.
    let NurtureCloud { base_url, data, runtime, .. } = cloud;
    drop(runtime);
    let secret = data.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let mut child = program(data.path(), &["resync", "--base-url", &base_url, "--client-id", "me"])
        .args(["--client-secret-file", secret.to_str().unwrap(), "--calls-per-minute", "6000"])
        .args(["--business", "b1", "--component", "contact", "--id", "private"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("b1 contact id=private: nurturecloud sync-by-id failed: "), "{line}");
    assert!(line.ends_with("again in 2 s (no-answer)\n") && !line.contains("/business/"), "{line}");
}

#[test]
fn mistakes_are_explained() {
    let cloud = NurtureCloud::start();
    for (arguments, expected) in [
        (&["--business", "b1"][..], "--component"),
        (&["--business", "a b", "--component", "contact"], "is no id"),
        (&["--business", "b1", "--component", "con/tact"], "is no component"),
        (&[&TWO[..], &["--since", "yesterday"]].concat(), "is no date such as 2026-11-21"),
        (&[&TWO[..], &["--id", "1"]].concat(), "--id is for one business and one component"),
        (&[&TWO[..], &["--id", "1", "--start-over"]].concat(), "cannot be used with"),
    ] {
        let refused = cloud.resync(arguments);
        assert!(!succeeded(&refused));
        assert!(errors(&refused).contains(expected), "{arguments:?}: {}", errors(&refused));
    }
    let refused = |base_url: &str, secret_file: &[&str]| {
        let arguments = ["resync", "--base-url", base_url, "--client-id", "me"];
        let mut command = program(&cloud.data(), &[&arguments[..], &TWO, secret_file].concat());
        let refused = command.env_remove("NURTURECLOUD_CLIENT_SECRET").output().unwrap();
        assert!(!refused.status.success());
        errors(&refused)
    };
    let file = cloud.secret_file("");
    let with_file = ["--client-secret-file", &file];
    let text = refused("http://nobody:else@api.example.com", &with_file);
    assert!(text.contains("the base url must be of https") && !text.contains("nobody"), "{text}");
    assert!(refused("https://api.example.com", &[]).contains("there is no client secret; name a file"));
    assert!(refused("https://api.example.com", &with_file).contains("client_secret is missing"));
    let no_pace = [&with_file[..], &["--calls-per-minute", "0"]].concat();
    assert!(refused("https://api.example.com", &no_pace).contains("0 is not in 1..=6000"));
    let missing = Path::new("/nowhere").join("secret");
    let text = refused("https://api.example.com", &["--client-secret-file", missing.to_str().unwrap()]);
    assert!(text.contains("/nowhere/secret cannot be read"), "{text}");
    assert!(cloud.asked().is_empty());
}

#[test]
fn each_account_has_its_own_progress() {
    let cloud = NurtureCloud::start();
    let of = |account, more: &[&str]| {
        assert!(succeeded(
            &cloud.resync(&[&["--account", account, "--business", "b1", "--component", "agent"], more].concat())
        ));
        cloud.asked().remove(0)
    };
    let since = |asked: &str| asked.strip_prefix("b1/agent/sync-all?since=").unwrap().to_owned();
    let first = since(&of("main", &["--lookback-days", "30"]));
    let of_other = since(&of("north", &["--lookback-days", "60"]));
    assert!(of_other < first, "{of_other} {first}");
    assert!(since(&of("main", &["--lookback-days", "30"])) > first, "it goes on where its own account was");
}
