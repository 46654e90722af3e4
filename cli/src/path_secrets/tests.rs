use std::path::Path;

use super::*;

fn document(directory: &Path) -> StoredDocument {
    StoredDocument::File(directory.join("nurturecloud.json"))
}

fn text(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("nurturecloud.json")).unwrap()
}

fn account(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

async fn added(document: &StoredDocument, name: &str) -> PathSecret {
    let secret = generate().unwrap();
    add(document, &account(name), &secret).await.unwrap();
    secret
}

#[tokio::test]
async fn what_is_added_is_kept_as_a_hash_that_the_webhook_reads() {
    use intake_providers::nurturecloud::NurtureCloud;
    use intake_providers::webhook::Webhook as _;
    let directory = tempfile::tempdir().unwrap();
    let document = document(directory.path());
    assert!(!read(&document).await.unwrap().hold(generate().unwrap().reveal()));
    let (first, second) = (added(&document, "main").await, added(&document, "other").await);

    let text = text(directory.path());
    assert!(!text.contains(first.reveal()) && !text.contains(second.reveal()), "{text}");
    let read_by_webhook = NurtureCloud::read_keys(&text).unwrap();
    assert_eq!(read_by_webhook.problems, []);
    let accounts: Vec<&str> = read_by_webhook.keys.iter().map(|(account, _)| account.as_str()).collect();
    assert_eq!(accounts, ["main", "other"]);
    let secrets = read(&document).await.unwrap();
    assert!(secrets.hold(first.reveal()) && secrets.hold(second.reveal()));
    assert!(!secrets.hold(generate().unwrap().reveal()));
}

#[tokio::test]
async fn eight_may_be_active_and_a_ninth_only_when_one_was_taken_out() {
    let directory = tempfile::tempdir().unwrap();
    let document = document(directory.path());
    let first = added(&document, "main").await;
    for _ in 1..MAX_ACTIVE_KEYS {
        added(&document, "main").await;
    }
    let before = text(directory.path());
    let error = add(&document, &account("main"), &generate().unwrap()).await.unwrap_err().to_string();
    assert!(error.starts_with("8 secrets are active in") && error.contains("--remove <FINGERPRINT>"), "{error}");
    assert_eq!(text(directory.path()), before);

    let fingerprint = first.hash().fingerprint().as_str().to_uppercase();
    assert_eq!(remove(&document, &fingerprint, false).await.unwrap(), account("main"));
    added(&document, "main").await;
    assert!(!read(&document).await.unwrap().hold(first.reveal()));
}

#[tokio::test]
async fn the_last_one_stays_unless_its_removal_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let document = document(directory.path());
    let secret = added(&document, "main").await;
    let fingerprint = secret.hash().fingerprint();
    let error = remove(&document, fingerprint.as_str(), false).await.unwrap_err().to_string();
    assert!(error.starts_with("this is the last active secret in") && error.contains("--even-the-last"), "{error}");
    assert!(read(&document).await.unwrap().hold(secret.reveal()));
    remove(&document, fingerprint.as_str(), true).await.unwrap();
    assert_eq!(read(&document).await.unwrap().iter().count(), 0);
    assert_eq!(text(directory.path()), "{\n  \"keys\": []\n}\n");
}

#[tokio::test]
async fn what_was_pasted_in_place_of_a_fingerprint_is_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let document = document(directory.path());
    let secret = added(&document, "main").await;
    let error = remove(&document, secret.reveal(), true).await.unwrap_err();
    assert!(error.to_string().contains("--list"), "{error}");
    assert!(!format!("{error} {error:?}").contains(secret.reveal()), "{error:?}");
}

#[tokio::test]
async fn a_document_of_another_form_is_named_and_left_alone_and_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let document = document(directory.path());
    for unusable in [
        r#"{"keys":["hunter2"]}"#,
        r#"{"keys":[],"hunter2":1}"#,
        r#"{"keys":[{"account":"main","secret_sha256":"hunter2"}]}"#,
        r#"{"keys":[{"account":"main","label":"hunter2"}]}"#,
    ] {
        std::fs::write(directory.path().join("nurturecloud.json"), unusable).unwrap();
        let error = add(&document, &account("main"), &generate().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("nurturecloud.json is not json of the form"), "{error}");
        assert!(error.to_string().contains("`label` means `account`"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(text(directory.path()), unusable);
    }
}

#[tokio::test]
async fn a_stack_s_placeholder_holds_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    for placeholder in ["", "\n", r#"{"keys":[]}"#] {
        std::fs::write(directory.path().join("nurturecloud.json"), placeholder).unwrap();
        assert_eq!(read(&document(directory.path())).await.unwrap().iter().count(), 0, "{placeholder:?}");
        added(&document(directory.path()), "main").await;
        assert_eq!(read(&document(directory.path())).await.unwrap().iter().count(), 1, "{placeholder:?}");
    }
}
