use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::key_files::ensure_test_keys;

const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn directory() -> (tempfile::TempDir, DataDirectory) {
    let parent = tempfile::tempdir().unwrap();
    let directory = DataDirectory::create(parent.path()).unwrap();
    (parent, directory)
}

/// The states of all entrances, by provider; Sterling's second one is its token endpoint.
fn states(directory: &DataDirectory) -> Vec<(ProviderName, State)> {
    entrances(ADDRESS, directory).into_iter().map(|entrance| (entrance.provider, entrance.state)).collect()
}

fn state(directory: &DataDirectory, provider: ProviderName) -> State {
    states(directory).into_iter().find(|(name, _)| *name == provider).unwrap().1
}

#[test]
fn without_keys_each_provider_is_named_with_the_command_that_adds_one() {
    let (_parent, directory) = directory();
    let found = states(&directory);
    let providers: Vec<ProviderName> = found.iter().map(|(provider, _)| *provider).collect();
    assert_eq!(providers, [ProviderName::ALL, &[ProviderName::Sterling]].concat());
    for (provider, state) in found {
        assert!(!state.is_open);
        assert!(state.summary.contains(&format!("keys add {provider}` adds one")), "{}", state.summary);
        assert!(state.summary.contains(" yet, so "), "{}", state.summary);
    }
}

#[tokio::test]
async fn test_keys_are_ready() {
    let (_parent, directory) = directory();
    ensure_test_keys(&directory).await.unwrap();
    for (provider, state) in states(&directory) {
        assert_eq!(
            state.is_open && state.summary.starts_with("ready"),
            provider != ProviderName::NowCerts,
            "{state:?}"
        );
    }
}

#[test]
fn each_problem_is_named_in_the_words_of_the_provider() {
    let (_parent, directory) = directory();
    let good = "x7".repeat(20);
    for (text, is_open, summary, problems) in [
        ("{", false, "cannot be used", &["is not JSON of the form"][..]),
        (r#"{"keys": []}"#, false, "holds no key, so nothing verifies", &[]),
        (
            r#"{"keys": [{"account": "a", "secret": "short"}, 7]}"#,
            false,
            "holds no usable key, so nothing verifies",
            &["key 1 of the secret is not used", "key 2 of the secret is not used"],
        ),
        (
            &format!(r#"{{"keys": [{{"account": "a", "secret": "{good}"}}, {{"account": "b", "secret": "short"}}]}}"#),
            true,
            "ready",
            &["key 2 of the secret is not used"],
        ),
    ] {
        std::fs::write(directory.keys(ProviderName::Machnet), text).unwrap();
        let state = state(&directory, ProviderName::Machnet);
        let file = Path::new("keys").join("machnet.json");
        let summary = if is_open { summary.to_owned() } else { format!("{} {summary}", file.display()) };
        assert!(state.is_open == is_open && state.summary.starts_with(&summary), "{text}: {state:?}");
        assert_eq!(state.problems.len(), problems.len(), "{state:?}");
        for (problem, expected) in state.problems.iter().zip(problems) {
            assert!(problem.contains(expected) && !problem.contains("short\""), "{problem}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_no_missing_one() {
    let (_parent, directory) = directory();
    std::fs::write(directory.keys(ProviderName::Accredit), b"\xff").unwrap();
    let state = state(&directory, ProviderName::Accredit);
    assert!(state.summary.contains("accredit.json cannot be read, so nothing verifies: "), "{state:?}");
}

#[test]
fn the_login_at_a_queue_is_checked_and_the_command_that_drains_it_named() {
    let (_parent, directory) = directory();
    let path = directory.keys(ProviderName::NowCerts);
    let login =
        r#"{"account": "main", "connection_string": "host=b;username=u;password=p", "queue": "events", "tls": true}"#;
    std::fs::write(&path, login).unwrap();
    let ready = state(&directory, ProviderName::NowCerts);
    assert!(ready.is_open && ready.summary.contains(" drain` takes what waits there"), "{ready:?}");
    std::fs::write(&path, login.replace("queue", "que")).unwrap();
    let broken = state(&directory, ProviderName::NowCerts);
    assert!(!broken.is_open && broken.problems.len() == 1, "{broken:?}");
}

#[test]
fn a_problem_is_on_a_line_of_its_own_and_shown_as_text() {
    let state = State { is_open: true, summary: "ready".to_owned(), problems: vec!["\u{1b}[2J".to_owned()] };
    let entrance = Entrance { provider: ProviderName::Machnet, place: "POST /".to_owned(), state };
    let text = anstream::adapter::strip_str(&in_lines(&[entrance])).to_string();
    assert_eq!(text, "  machnet  POST /  ready\n           \\u{1b}[2J\n");
}
