use std::path::Path;
use std::time::{Duration, Instant};

use intake_cli::client::{SendError, Sender, webhook_url};
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::timestamp::Timestamp;
use intake_simulator::made_up::random_hex;
use intake_simulator::signed_delivery::SignedDelivery;
use intake_simulator::sterling::{Event, body};
use intake_simulator::token::{ClientCredentials, TokenRequest};
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{AuthType, ClientId, HttpRequest, HttpResponse, RequestTokenError, Scope, TokenResponse as _, TokenUrl};
use secrecy::ExposeSecret as _;

use crate::program::{Server, errors, output, rows, run};
use crate::snapshots::assert_printed;

/// Makes a client's secret, which is all that is printed.
fn add_client(data: &Path, client_id: &str) -> ClientCredentials {
    let secret = done(data, &["keys", "add", "sterling", client_id]);
    assert_eq!(secret.lines().count(), 1, "{secret}");
    ClientCredentials { client_id: client_id.to_owned(), client_secret: secret.trim().to_owned().into() }
}

/// The rows of a listing: account, key, first and last use, state, kind.
fn keys(data: &Path) -> Vec<Vec<String>> {
    rows(&done(data, &["keys", "list", "sterling"]))
}

/// The names of the keys of which this is said.
fn names(data: &Path, kind: &str) -> Vec<String> {
    keys(data).into_iter().filter(|row| row[5].starts_with(kind)).map(|row| row[1].clone()).collect()
}

fn clients(data: &Path) -> Vec<[String; 3]> {
    let clients = keys(data).into_iter().filter(|row| row[5].starts_with("client"));
    clients.map(|row| [row[1].clone(), row[0].clone(), row[5].clone()]).collect()
}

async fn token(server: &Server, client: &ClientCredentials) -> Result<String, SendError> {
    let url = webhook_url(&server.url, "/oauth/token").unwrap();
    Ok(Sender::new(&url)?.token(&url, &TokenRequest::of(client)).await?.access_token.expose_secret().to_owned())
}

/// The answer's status to a delivery with this token.
async fn deliver(server: &Server, token: &str) -> u16 {
    let url = webhook_url(&server.url, "/webhooks/sterling").unwrap();
    let event = Event::supply_change(&random_hex(6), 1, Timestamp::EPOCH);
    let delivery = SignedDelivery::with_bearer_token(token, body(&[event]));
    Sender::new(&url).unwrap().post(&url, &delivery).await.unwrap().status
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let done = run(data, arguments);
    assert!(!done.status.success(), "{}", output(&done));
    errors(&done)
}

fn done(data: &Path, arguments: &[&str]) -> String {
    let done = run(data, arguments);
    assert!(done.status.success(), "{}", errors(&done));
    output(&done)
}

/// Moves a time of the newest key that has it into the past.
fn set_back(data: &Path, name: &str, by: Duration) {
    let path = data.join("keys/sterling-authority.json");
    let mut authority: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let keys = authority["keys"].as_array_mut().unwrap();
    let key = keys.iter_mut().rev().find(|key| key.get(name).is_some()).unwrap();
    let back = i64::try_from(by.as_millis()).unwrap();
    let time = Timestamp::from_unix_milliseconds(SystemClock.now().unix_milliseconds() - back).unwrap();
    key[name] = time.to_string().into();
    std::fs::write(&path, authority.to_string()).unwrap();
}

fn key_states(data: &Path) -> Vec<String> {
    let keys = keys(data).into_iter().filter(|row| row[5].starts_with("signing key"));
    keys.map(|row| row[4].clone()).collect()
}

fn time_in(text: &str) -> Timestamp {
    let is_time = |word: &&str| word.starts_with("20") && word.contains('T');
    Timestamp::parse(text.split_whitespace().find(is_time).expect("a time").trim_end_matches([';', '.'])).unwrap()
}

#[tokio::test]
async fn a_key_is_rotated_in_three_steps_and_none_of_them_too_early() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path();
    let client = add_client(data, "ibm");
    let server = Server::start(data);
    let old = token(&server, &client).await.unwrap();
    assert_eq!(deliver(&server, &old).await, 200);

    assert!(refused(data, &["keys", "activate", "sterling"]).contains("add one first"));
    let before = SystemClock.now();
    let added = done(data, &["keys", "add", "sterling", "--signing-key"]);
    // The server's 15 seconds and the margin.
    assert!(time_in(&added) >= before.plus(Duration::from_secs(75)), "{added}");
    assert!(refused(data, &["keys", "add", "sterling", "--signing-key"]).contains("activate it first"));
    let early = refused(data, &["keys", "activate", "sterling"]);
    assert!(early.contains("may not be known everywhere before"), "{early}");
    assert_eq!(time_in(&early), time_in(&added));
    server.wait_until_drained();
    assert_printed("keys-list-sterling", data, &done(data, &["keys", "list", "sterling"]));

    set_back(data, "added_at", Duration::from_secs(74));
    assert!(refused(data, &["keys", "activate", "sterling"]).contains("may not be known"));
    set_back(data, "added_at", Duration::from_secs(76));
    let old_key = names(data, "signing key")[0].clone();
    let retire = ["keys", "remove", "sterling", &old_key, "--yes"];
    let activated = done(data, &["keys", "activate", "sterling"]);
    assert_eq!(key_states(data), ["superseded", "active"]);
    let early = refused(data, &retire);
    assert_eq!(time_in(&early), time_in(&activated));
    let server = server.restarted(data);
    let new = token(&server, &client).await.unwrap();
    assert_ne!(key_id(&old), key_id(&new));
    assert_eq!((deliver(&server, &old).await, deliver(&server, &new).await), (200, 200));

    set_back(data, "superseded_at", Duration::from_secs(7200 + 74));
    assert!(refused(data, &retire).contains("may be valid until"));
    set_back(data, "superseded_at", Duration::from_secs(7200 + 76));
    done(data, &retire);
    assert_eq!(key_states(data), ["active"]);
    let server = server.restarted(data);
    assert_eq!((deliver(&server, &old).await, deliver(&server, &new).await), (401, 200));
}

/// The header of a token.
fn key_id(token: &str) -> &str {
    token.split('.').next().unwrap()
}

#[tokio::test]
async fn the_tokens_of_a_removed_client_are_refused_once_the_server_has_reread_it() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path();
    let (removed, kept) = (add_client(data, "removed"), add_client(data, "kept"));
    let server = Server::start(data);
    let (removed_token, kept_token) = (token(&server, &removed).await.unwrap(), token(&server, &kept).await.unwrap());
    assert_eq!((deliver(&server, &removed_token).await, deliver(&server, &kept_token).await), (200, 200));

    done(data, &["keys", "remove", "sterling", "removed", "--yes"]);
    let until = Instant::now() + Duration::from_secs(20);
    while deliver(&server, &removed_token).await != 401 {
        assert!(Instant::now() < until, "the token of a removed client is still taken");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(deliver(&server, &kept_token).await, 200);
    let no_token = token(&server, &removed).await.unwrap_err().to_string();
    assert!(no_token.contains("status 401 and error \"invalid_client\""), "{no_token}");
    assert!(refused(data, &["keys", "remove", "sterling", "removed"]).contains("no key is called so"));
}

#[tokio::test]
async fn a_client_has_two_secrets_until_only_the_newest_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path();
    let (first, second) = (add_client(data, "ibm"), add_client(data, "ibm"));
    assert_ne!(first.client_secret.expose_secret(), second.client_secret.expose_secret());
    let server = Server::start(data);
    assert!(token(&server, &first).await.is_ok() && token(&server, &second).await.is_ok());
    assert_eq!(clients(data), [["ibm", "ibm", "client, 2 secrets"]]);

    let [older, newest] = names(data, "secret of ibm").try_into().unwrap();
    done(data, &["keys", "remove", "sterling", &older]);
    let last = refused(data, &["keys", "remove", "sterling", &newest]);
    assert!(last.contains("say --even-the-last"), "{last}");
    let server = server.restarted(data);
    assert!(token(&server, &first).await.is_err() && token(&server, &second).await.is_ok());
    for name in ["sterling-authority.json", "sterling.json"] {
        let text = std::fs::read_to_string(data.join("keys").join(name)).unwrap();
        assert!(
            !text.contains(first.client_secret.expose_secret()) && !text.contains(second.client_secret.expose_secret()),
            "{name}"
        );
    }
}

#[test]
fn a_client_that_replaces_another_one_takes_over_its_account_and_no_client_changes_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path();
    for arguments in [&["ibm"][..], &["ibm-2", "--account", "ibm"], &["ibm-2"]] {
        let added = run(data, &[&["keys", "add", "sterling"], arguments].concat());
        assert!(errors(&added).contains(" of the account ibm "), "{}", errors(&added));
    }

    let moved = refused(data, &["keys", "add", "sterling", "ibm-2", "--account", "other"]);
    assert!(
        moved.contains("the client ibm-2 belongs to the account ibm") && moved.contains("leave --account"),
        "{moved}"
    );
    let invalid = refused(data, &["keys", "add", "sterling", "ibm-3", "--account", "hush hush"]);
    assert!(invalid.contains("an account's name is 1 to 64 letters"), "{invalid}");
    assert_eq!(clients(data), [["ibm", "ibm", "client, 1 secret"], ["ibm-2", "ibm", "client, 2 secrets"]]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_what_is_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    add_client(parent.path(), "ibm");
    done(parent.path(), &["keys", "add", "sterling", "--signing-key"]);
    for name in ["sterling-authority.json", "sterling.json"] {
        let mode = std::fs::metadata(parent.path().join("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_verification_document_that_was_lost_is_derived_anew_even_by_a_command_that_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    add_client(parent.path(), "ibm");
    let path = parent.path().join("keys/sterling.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let misfit = run(parent.path(), &["keys", "check", "sterling"]);
    assert!(!misfit.status.success() && output(&misfit).contains("--repair"), "{}", output(&misfit));
    done(parent.path(), &["keys", "check", "sterling", "--repair"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    std::fs::remove_file(&path).unwrap();
    refused(parent.path(), &["keys", "activate", "sterling"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn settings_of_an_authority_are_checked_and_only_for_a_new_one() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    assert!(refused(&data, &["keys", "activate", "sterling"]).contains("`keys add sterling <CLIENT-ID>` makes one"));
    assert!(refused(&data, &["keys", "remove", "sterling", "ibm"]).contains("no key is called so"));
    assert!(!data.exists());
    let short = ["keys", "add", "sterling", "ibm", "--token-lifetime-seconds", "600"];
    assert!(refused(&data, &short).contains("say explicitly that short tokens are meant"));
    assert!(refused(&data, &["keys", "add", "sterling", "two words"]).contains("1 to 64 letters, digits, dots"));
    assert!(!data.join("keys/sterling-authority.json").exists());
    let settings = ["--short-tokens", "--issuer", "urn:us", "--audience", "urn:them"];
    let text = errors(&run(&data, &[&short[..], &settings].concat()));
    assert!(text.contains("600 s (0.16 h)") && text.contains("urn:them"), "{text}");
    let again = refused(&data, &["keys", "add", "sterling", "ibm", "--issuer", "urn:other"]);
    assert!(again.contains("--issuer is for a new authority"), "{again}");
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_deployed_stack_needs_both_secrets_and_a_build_that_can_reach_it() {
    let parent = tempfile::tempdir().unwrap();
    let one = refused(parent.path(), &["client", "list", "--authority-secret", "a"]);
    assert!(one.contains("--authority-secret and --verification-secret belong together"), "{one}");
    let both = ["signing-key", "list", "--authority-secret", "a", "--verification-secret", "b"];
    assert!(refused(parent.path(), &both).contains("--features aws"));
}

async fn over_http(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let (head, body) = request.into_parts();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let url = head.uri.to_string();
    let response = client.request(head.method, url).headers(head.headers).body(body).send().await?;
    let mut answer = HttpResponse::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    *answer.body_mut() = response.bytes().await?.to_vec();
    Ok(answer)
}

#[tokio::test]
async fn a_standard_oauth_client_gets_a_token_that_counts_and_understands_a_refusal() {
    let parent = tempfile::tempdir().unwrap();
    let credentials = add_client(parent.path(), "ibm");
    let server = Server::start(parent.path());
    let client = |auth_type: AuthType, secret: &str| {
        BasicClient::new(ClientId::new(credentials.client_id.clone()))
            .set_client_secret(oauth2::ClientSecret::new(secret.to_owned()))
            .set_token_uri(TokenUrl::new(format!("{}/oauth/token", server.url)).unwrap())
            .set_auth_type(auth_type)
    };
    for auth_type in [AuthType::BasicAuth, AuthType::RequestBody] {
        let good = client(auth_type.clone(), credentials.client_secret.expose_secret());
        let scope = Scope::new("anything".to_owned());
        let token = good.exchange_client_credentials().add_scope(scope).request_async(&over_http).await.unwrap();
        assert_eq!(token.expires_in(), Some(Duration::from_secs(7200)));
        assert_eq!(deliver(&server, token.access_token().secret()).await, 200);

        let wrong = client(auth_type, "wrong").exchange_client_credentials().request_async(&over_http).await;
        match wrong.unwrap_err() {
            RequestTokenError::ServerResponse(error) => {
                assert_eq!(error.error(), &BasicErrorResponseType::InvalidClient);
            }
            other => panic!("{other:?}"),
        }
    }
}
