//! What is wrong with a secret at the end of a URL. Only its hash is stored, so every guess is hashed and compared.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::case::Case;
use super::finding::{Finding, TriedKey};
use super::mistake::PathSecretMistake;
use super::signature_text::{decode_base64, percent_decoded};
use crate::digest::Sha256Digest;
use crate::path_secret::{MAX_SECRET_CHARACTERS, MIN_SECRET_CHARACTERS, PathSecretHash};
use crate::webhook::WebhookRoute;

/// A stored hash.
pub(crate) struct StoredHash {
    pub(crate) label: TriedKey,
    /// What is wrong when it fits; `None` for an active one.
    pub(crate) status: Option<Finding>,
    pub(crate) hash: PathSecretHash,
}

/// A text that may be the secret, and what is wrong if it is.
type Guess = (String, Vec<PathSecretMistake>);

/// What is wrong with the secret of the request's URL.
pub(crate) fn explain(case: &Case<'_>, route: WebhookRoute, stored: &[StoredHash]) -> Vec<Finding> {
    let (path, query) = case.request.target.split_once('?').unwrap_or((&case.request.target, ""));
    let below = path.strip_prefix(route.path()).unwrap_or(path).trim_start_matches('/');
    let mut best: Option<Vec<Finding>> = None;
    for (text, mistakes) in guesses(case, below, query) {
        let hash = PathSecretHash::from_recorded(Sha256Digest::of(text.as_bytes()));
        for stored in stored.iter().filter(|stored| stored.hash.is_of_the_same_secret(&hash)) {
            let mistakes = mistakes.iter().cloned().map(Finding::PathSecret);
            let findings: Vec<Finding> = stored.status.clone().into_iter().chain(mistakes).collect();
            if best.as_ref().is_none_or(|best| findings.len() < best.len()) {
                best = Some(if findings.is_empty() { vec![Finding::Genuine(stored.label.clone())] } else { findings });
            }
        }
    }
    best.unwrap_or_else(|| shape(below, stored).map(Finding::PathSecret).into_iter().collect())
}

fn guesses(case: &Case<'_>, below: &str, query: &str) -> Vec<Guess> {
    let mut places: Vec<Guess> = vec![(below.to_owned(), Vec::new())];
    if let Some(rest) = below.strip_suffix('/') {
        places.push((rest.to_owned(), vec![PathSecretMistake::TrailingSlash]));
    }
    for segment in below.split('/') {
        places.push((segment.to_owned(), vec![PathSecretMistake::FurtherSegments]));
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = if value.is_empty() { name } else { value };
        places.push((value.into_owned(), vec![PathSecretMistake::Query]));
    }
    for (name, value) in &case.request.headers {
        if let Some(text) = value.to_str().ok().and_then(|text| text.split_whitespace().next_back()) {
            places.push((text.to_owned(), vec![PathSecretMistake::Header { used: name.to_string() }]));
        }
    }
    places.into_iter().flat_map(|(text, mistakes)| written(&text, &mistakes)).collect()
}

/// What a text may have been before it was quoted, encoded and so on.
fn written(text: &str, mistakes: &[PathSecretMistake]) -> Vec<Guess> {
    let mut guesses = vec![(text.to_owned(), mistakes.to_vec())];
    let mut text = text.to_owned();
    let mut mistakes = mistakes.to_vec();
    let decoded = percent_decoded(&text);
    if decoded != text {
        mistakes.push(PathSecretMistake::PercentEncoded);
        text = decoded;
        guesses.push((text.clone(), mistakes.clone()));
    }
    let around = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | '{' | '}' | '[' | ']' | '.' | ',' | ';')
    };
    let bare = text.trim_matches(around);
    if bare != text {
        mistakes.push(PathSecretMistake::Surrounded);
        text = bare.to_owned();
        guesses.push((text.clone(), mistakes.clone()));
    }
    let unpadded = text.trim_end_matches('=');
    if unpadded != text {
        guesses.push((unpadded.to_owned(), [&mistakes[..], &[PathSecretMistake::Padded]].concat()));
    }
    let mut encoded = |used, text: String| {
        guesses.push((text, [&mistakes[..], &[PathSecretMistake::Encoded { used }]].concat()));
    };
    if text.contains(['+', '/']) {
        encoded("base64, and not in base64url", unpadded.replace('+', "-").replace('/', "_"));
    }
    if let Ok(bytes) = hex::decode(&text) {
        encoded("hex", URL_SAFE_NO_PAD.encode(&bytes));
        if let Ok(inner) = String::from_utf8(bytes) {
            encoded("hex", inner);
        }
    }
    if let Some(inner) = decode_base64(&text).and_then(|bytes| String::from_utf8(bytes).ok()) {
        encoded("base64 once more", inner);
    }
    guesses
}

/// What can be said of a text that is no secret that we know.
fn shape(below: &str, stored: &[StoredHash]) -> Option<PathSecretMistake> {
    let text = below.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_own = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let length = text.chars().count();
    if text.is_empty() {
        Some(PathSecretMistake::Missing)
    } else if stored.iter().any(|stored| stored.hash.digest().to_string().eq_ignore_ascii_case(text)) {
        Some(PathSecretMistake::HashInstead)
    } else if !text.chars().all(is_own) {
        Some(PathSecretMistake::Characters)
    } else if !(MIN_SECRET_CHARACTERS..=MAX_SECRET_CHARACTERS).contains(&length) {
        Some(PathSecretMistake::Length { found: length })
    } else if !text.contains(|c: char| c.is_ascii_uppercase()) || !text.contains(|c: char| c.is_ascii_lowercase()) {
        Some(PathSecretMistake::Case)
    } else {
        None
    }
}
