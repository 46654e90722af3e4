//! Our credentials for the Data API: HTTP Basic (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::json_object;
use crate::json_place::JsonPlace;

/// A client id and its secret. `Debug` shows neither, for the header's value is marked as sensitive.
#[derive(Debug)]
pub struct Credentials {
    /// The complete header value.
    authorization: HeaderValue,
}

/// A problem of the client id or the secret. Neither is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialProblem {
    /// Absent or empty.
    #[error("{member} is missing")]
    Missing {
        /// `client_id` or `client_secret`.
        member: &'static str,
    },
    /// Surrounding white space, which would silently make it another value.
    #[error("{member} begins or ends with white space, probably a copy-and-paste slip")]
    SurroundingWhiteSpace {
        /// `client_id` or `client_secret`.
        member: &'static str,
    },
    /// A character that RFC 7617 forbids.
    #[error("{member} holds a control character")]
    ControlCharacter {
        /// `client_id` or `client_secret`.
        member: &'static str,
    },
    /// A colon in the client id, which HTTP Basic treats as its end.
    #[error("client_id holds a colon, which http basic cannot carry")]
    Colon,
}

/// Why the credentials cannot be used. They are never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Not JSON of the expected form. serde's message is left out because it quotes the input.
    #[error(r#"the secret is not JSON of the form {{"client_id":"...","client_secret":"..."}} ({place})"#)]
    Malformed {
        /// Where reading stopped.
        place: JsonPlace,
    },
    /// JSON of the expected form with unusable contents.
    #[error("the credentials cannot be used: {}; copy them once more from nurturecloud", listed(.0))]
    Unusable(Vec<CredentialProblem>),
}

fn listed(problems: &[CredentialProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    client_id: SecretString,
    #[serde(default)]
    client_secret: SecretString,
}

impl Credentials {
    /// Checks and combines client id and secret.
    ///
    /// # Errors
    /// All problems of both at once.
    pub fn new(client_id: &str, client_secret: &str) -> Result<Self, CredentialsError> {
        let mut problems = Vec::new();
        for (member, text) in [("client_id", client_id), ("client_secret", client_secret)] {
            if text.trim().is_empty() {
                problems.push(CredentialProblem::Missing { member });
            } else if text.trim().len() != text.len() {
                problems.push(CredentialProblem::SurroundingWhiteSpace { member });
            } else if text.chars().any(char::is_control) {
                problems.push(CredentialProblem::ControlCharacter { member });
            }
        }
        if client_id.contains(':') {
            problems.push(CredentialProblem::Colon);
        }
        let joined = Zeroizing::new(format!("{client_id}:{client_secret}"));
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(joined.as_bytes())));
        match HeaderValue::from_str(&value) {
            Ok(mut authorization) if problems.is_empty() => {
                authorization.set_sensitive(true);
                Ok(Self { authorization })
            }
            // Base64 is always a header's value.
            _ => Err(CredentialsError::Unusable(problems)),
        }
    }

    /// Reads `{"client_id":"...","client_secret":"..."}`.
    ///
    /// # Errors
    /// When the text is of another form; or all problems of its contents at once.
    pub fn read(secret: &str) -> Result<Self, CredentialsError> {
        let document: Document = json_object::read(secret)
            .map_err(|error| CredentialsError::Malformed { place: JsonPlace::from(&error) })?;
        Self::new(document.client_id.expose_secret(), document.client_secret.expose_secret())
    }

    /// The value of the `Authorization` header, marked as sensitive.
    #[must_use]
    pub const fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "the-client";
    const SECRET: &str = "nobody else's: secret";

    #[test]
    fn members_without_their_names_are_malformed() {
        let read = Credentials::read(&format!(r#"["{ID}","{SECRET}"]"#));
        assert!(matches!(read, Err(CredentialsError::Malformed { .. })), "{read:?}");
    }

    #[test]
    fn the_authorization_is_http_basic_and_shows_itself_nowhere() {
        let credentials = Credentials::read(&format!(r#"{{"client_id":"{ID}","client_secret":"{SECRET}"}}"#)).unwrap();
        let encoded = STANDARD.encode(format!("{ID}:{SECRET}"));
        assert_eq!(credentials.authorization(), &format!("Basic {encoded}"));
        let shown = format!("{credentials:?} {:?}", credentials.authorization());
        assert!(!shown.contains(ID) && !shown.contains("nobody") && !shown.contains(&encoded), "{shown}");
    }

    #[test]
    fn every_problem_is_reported_at_once_and_none_repeats_the_secret() {
        for (id, secret, expected) in [
            ("", " ", ["client_id is missing", "client_secret is missing"]),
            ("a:b", "secret\n", ["client_secret begins or ends with white space", "client_id holds a colon"]),
            (" id", "sec\u{7}ret", ["client_id begins or ends", "client_secret holds a control character"]),
        ] {
            let error = Credentials::new(id, secret).unwrap_err().to_string();
            assert!(expected.iter().all(|problem| error.contains(problem)), "{error}");
            assert!(!error.contains("secret\n") && !error.contains("a:b"), "{error}");
        }
    }

    #[test]
    fn a_document_of_another_form_is_named_by_line_and_column_only() {
        for text in [
            "",
            "nobody",
            r#"{"client_id":"a","client_secret":nobody}"#,
            r#"{"client_id":"a","client_secret":["nobody"]}"#,
            r#"{"client_id":"a","nobody":"x"}"#,
        ] {
            let error = Credentials::read(text).unwrap_err();
            assert!(matches!(error, CredentialsError::Malformed { .. }), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("nobody"), "{error}");
        }
        let error = Credentials::read("{}").unwrap_err().to_string();
        assert!(error.contains("client_id is missing; client_secret is missing"), "{error}");
    }
}
