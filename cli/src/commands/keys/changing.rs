//! What the commands that change keys have in common.

use intake_outbound::is_this_machine;
use intake_providers::ProviderName;
use intake_providers::key_ring::Documents;
use intake_providers::key_ring::change::Change;
use intake_providers::key_ring::error::KeyRingError;
use intake_providers::key_ring::listing::ListedKey;
use intake_providers::registry::key_ring;
use reqwest::Url;
use serde_json::json;

use super::super::error::CommandError;
use super::super::output::{print, print_json_lines};
use super::not_changed::NotChanged;
use crate::key_store::KeyStore;

/// Changes a provider's keys. When that is refused, nothing changes, but documents that others are derived from are derived again
/// where they are stale.
pub(super) async fn change(
    provider: ProviderName,
    store: &KeyStore,
    edit: impl FnOnce(Documents<'_>) -> Result<Change, KeyRingError>,
) -> Result<Change, CommandError> {
    let found = store.read().await?;
    match found.with(edit) {
        Ok(change) => {
            store.write(&found, &change.writes).await?;
            Ok(change)
        }
        Err(reason) => {
            let writes = found.with(|documents| key_ring(provider).repair(documents)).unwrap_or_default();
            store.write(&found, &writes).await?;
            let what_happened =
                if writes.is_empty() { "nothing was changed" } else { "only what did not fit was derived again" };
            Err(NotChanged { place: store.name(), what_happened, reason }.into())
        }
    }
}

/// A key in words: `1a2b3c4d of the account main (HMAC secret)`.
pub(super) fn in_words(key: &ListedKey) -> String {
    let account = key.account.as_ref().map_or_else(String::new, |account| format!(" of the account {account}"));
    format!("{}{account} ({})", key.id, key.kind)
}

/// Prints a change without a new secret.
pub(super) fn print_change(
    provider: ProviderName,
    what: &str,
    change: &Change,
    as_json: bool,
) -> Result<(), CommandError> {
    if as_json {
        return print_json_lines(&format!("{}\n", json(provider, change)));
    }
    print(&format!("{what} {provider}: {}; {}.\n{}", in_words(&change.key), change.counts, change.next))
}

/// A change as JSON, without a secret.
pub(super) fn json(provider: ProviderName, change: &Change) -> serde_json::Value {
    json!({
        "provider": provider,
        "account": change.key.account,
        "key": change.key.id.to_string(),
        "kind": change.key.kind,
        "state": change.key.state.name(),
        "counts": change.counts,
        "next": change.next,
    })
}

/// Reads what comes before `/webhooks/`, and writes it without a slash at its end. A secret may not travel over plain HTTP, except
/// within this machine.
pub(super) fn base_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(&url));
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let is_base = !format!("{}/", url.path()).contains("/webhooks/");
    (is_safe && is_bare && is_base).then(|| url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_written_without_a_slash_at_its_end() {
        for (text, expected) in [
            ("https://hooks.example.com", "https://hooks.example.com"),
            ("https://hooks.example.com/", "https://hooks.example.com"),
            ("https://hooks.example.com/intake/", "https://hooks.example.com/intake"),
            ("http://localhost:8080", "http://localhost:8080"),
        ] {
            assert_eq!(base_url(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_base_that_would_send_the_secret_in_the_open_or_is_more_than_a_base_is_none() {
        for text in [
            "http://hooks.example.com",
            "hooks.example.com",
            "ftp://hooks.example.com",
            "https://hooks.example.com/?x=1",
            "https://hooks.example.com/#x",
            "https://user:password@hooks.example.com",
            "https://hooks.example.com/webhooks/nurturecloud",
            "https://hooks.example.com/webhooks",
        ] {
            assert_eq!(base_url(text), None, "{text}");
        }
    }
}
