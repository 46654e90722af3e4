use super::*;

const STRING: &str = "host=40.122.124.26:5672;virtualHost=/;username=agency;password=hush-hush";

fn document(connection_string: &str) -> serde_json::Value {
    serde_json::json!({ "account": "main", "connection_string": connection_string, "queue": "events", "tls": false })
}

fn read(document: &serde_json::Value) -> Result<Account, AccountProblems> {
    read_account(&document.to_string())
}

fn connection(string: &str) -> Connection {
    read(&document(string)).unwrap().connection
}

fn problems(document: &serde_json::Value) -> String {
    read(document).unwrap_err().to_string()
}

#[test]
fn a_connection_string_is_read_as_nowcerts_gives_it() {
    let account = read(&document(STRING)).unwrap();
    let Connection { host, port, virtual_host, username, password, tls } = account.connection;
    assert_eq!((host.as_str(), port, virtual_host.as_str()), ("40.122.124.26", 5672, "/"));
    assert_eq!((username.as_str(), password.reveal(), tls), ("agency", "hush-hush", false));
    assert_eq!((account.queue.as_str(), account.replay_queue), ("events", None));
    assert_eq!((account.provider, account.authenticated_by.account.as_str()), (ProviderName::NowCerts, "main"));
}

#[test]
fn keys_are_case_insensitive_and_unknown_ones_are_ignored() {
    let found = connection(
        " HOST = broker ; VirtualHost=agencies;UserName=agency;requestedHeartbeat=10;PASSWORD=a=b= ;"
            .trim_end_matches(" ;"),
    );
    assert_eq!((found.host.as_str(), found.virtual_host.as_str()), ("broker", "agencies"));
    assert_eq!(found.password.reveal(), "a=b=", "a part is split on its first = only");
}

#[test]
fn a_port_that_is_left_out_is_that_of_plain_amqp_or_of_amqps() {
    let string = "host=broker;username=agency;password=hush-hush";
    assert_eq!(connection(string).port, 5672);
    let mut with_tls = document(string);
    with_tls["tls"] = true.into();
    assert_eq!(read(&with_tls).unwrap().connection.port, 5671);
    let address = connection("host=[2001:db8::1]:5673;username=agency;password=hush-hush");
    assert_eq!((address.host.as_str(), address.port), ("2001:db8::1", 5673));
}

#[test]
fn a_password_with_a_semicolon_comes_on_its_own() {
    let mut document = document("host=broker;username=agency");
    document["password"] = "hush;hush=".into();
    assert_eq!(read(&document).unwrap().connection.password.reveal(), "hush;hush=");
    document["connection_string"] = "host=broker;username=agency;password=another".into();
    assert!(problems(&document).contains("different passwords"));
    document["password"] = "another".into();
    assert_eq!(read(&document).unwrap().connection.password.reveal(), "another", "given twice, and the same");
    let cut = problems(&super::tests::document("host=broker;username=agency;password=hush;hush"));
    assert!(cut.contains("part 4 of connection_string has no \"=\""), "{cut}");
}

#[test]
fn every_problem_is_reported_at_once_and_no_value_is_repeated() {
    let document = serde_json::json!({
        "account": "secret account", "connection_string": "host=hidden host:70000;password= hush-hush;host=other",
        "queue": " ", "replay_queue": 7, "passwrd-hush": true,
    });
    let found = problems(&document);
    for expected in [
        "an account's name is 1 to 64 letters",
        "host in connection_string is not a host name",
        "host more than once",
        "has no username",
        "the password begins or ends with white space",
        "; queue is not a string",
        "; replay_queue is not a string",
        "tls is not said",
        "a member that is not known",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    for secret in ["hush", "hidden", "secret account", "other", "70000"] {
        assert!(!found.contains(secret), "{secret}: {found}");
    }
}

#[test]
fn a_secret_that_nobody_filled_in_is_said_to_lack_everything() {
    let found = problems(&serde_json::json!({}));
    for missing in ["account is missing", "connection_string is missing", "queue is missing", "tls is not said"] {
        assert!(found.contains(missing), "{found}");
    }
    let placeholders = "host=40.122.124.26:5672;virtualHost=/;username={your_username};password={your_password}";
    let found = problems(&document(placeholders));
    assert!(found.contains("the username is still the placeholder"), "{found}");
    assert!(found.contains("the password is still the placeholder"), "{found}");
    assert!(problems(&document("host=broker;username=agency")).contains("there is no password"));
    for password in ["{hush", "hush}"] {
        let found = connection(&format!("host=broker;username=agency;password={password}"));
        assert_eq!(found.password.reveal(), password, "a placeholder has both braces");
    }
}

#[test]
fn text_that_is_no_document_is_not_quoted() {
    for text in ["hush", "", r#"["hush"]"#, r#"{"account":"hush","account":"hush"}"#, r#"{"hush"}"#] {
        let error = read_account(text).unwrap_err().to_string();
        assert!(error.contains("it is not JSON of the form") && !error.contains("hush"), "{error}");
    }
}

#[test]
fn several_brokers_the_same_queue_twice_and_bad_ports_are_rejected() {
    assert!(problems(&document("host=a:5672,b:5672;username=u;password=p")).contains("several brokers"));
    assert!(problems(&document("host=a:0;username=u;password=p")).contains("the port"));
    assert!(problems(&document("host=[::1]5672x;username=u;password=p")).contains("the port"));
    let mut same = document(STRING);
    same["replay_queue"] = "events".into();
    assert!(problems(&same).contains("are the same"));
}

#[test]
fn an_account_shows_no_password_and_a_new_password_has_a_new_fingerprint() {
    let account = read(&document(STRING)).unwrap();
    assert!(!format!("{account:?}").contains("hush"));
    let other = read(&document(&STRING.replace("hush-hush", "hush-hash"))).unwrap();
    let fingerprint = |account: &Account| account.authenticated_by.fingerprint.to_string();
    assert_ne!(fingerprint(&account), fingerprint(&other));
    assert_eq!(fingerprint(&account), fingerprint(&read(&document(STRING)).unwrap()));
    assert_eq!(fingerprint(&account).len(), 8);
}

#[test]
fn the_account_may_be_called_its_label_and_not_both() {
    let mut named = document(STRING);
    let account = named.as_object_mut().unwrap().remove("account").unwrap();
    named["label"] = account.clone();
    assert_eq!(read(&named).unwrap().authenticated_by.account.as_str(), "main");
    named["account"] = account;
    assert!(problems(&named).contains("it holds both account and label, which mean the same; leave label out"));
}
