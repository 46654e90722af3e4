//! What the log says about a request that was refused, so that it can be found at the provider and put right.
//!
//! Header values are left out, because they may be credentials; the user agent is the exception. An accepted request leaves none
//! of this: its delivery is recorded.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Maximum number of header names that are logged.
const MAX_HEADER_NAMES: usize = 40;

/// Maximum length of a name, a user agent, or another text that comes from outside, in characters.
const MAX_TEXT_CHARACTERS: usize = 200;

/// Where a request came from, as the API in front of us knows it. An extension of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOrigin {
    /// Address of the caller.
    pub source_address: Option<String>,
    /// The API's own id of the request, which is in its access log too.
    pub api_request_id: Option<String>,
}

/// Taken from a request before anything is decided. Names and values are reference-counted by their crate, so that an accepted
/// request pays for one list.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    origin: RequestOrigin,
    user_agent: Option<HeaderValue>,
    header_names: Vec<HeaderName>,
    further_headers: usize,
    content_length: Option<u64>,
}

impl Evidence {
    /// The evidence of a request.
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let headers = request.headers();
        Self {
            origin: request.extensions().get().cloned().unwrap_or_default(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            header_names: headers.keys().take(MAX_HEADER_NAMES).cloned().collect(),
            further_headers: headers.keys_len().saturating_sub(MAX_HEADER_NAMES),
            content_length: content_length(headers),
        }
    }

    /// Address of the caller, where it is known.
    #[must_use]
    pub fn source_address(&self) -> Option<String> {
        self.origin.source_address.as_deref().map(shortened)
    }

    /// The API's own id of the request, where there is one.
    #[must_use]
    pub fn api_request_id(&self) -> Option<String> {
        self.origin.api_request_id.as_deref().map(shortened)
    }

    /// What the caller calls itself.
    #[must_use]
    pub fn user_agent(&self) -> Option<String> {
        self.user_agent.as_ref().map(|value| shortened(&String::from_utf8_lossy(value.as_bytes())))
    }

    /// The names of the headers that came, separated by spaces, and how many further ones there were.
    #[must_use]
    pub fn header_names(&self) -> String {
        let mut names: Vec<String> = self.header_names.iter().map(|name| shortened(name.as_str())).collect();
        if self.further_headers > 0 {
            names.push(format!("(+{})", self.further_headers));
        }
        names.join(" ")
    }

    /// Size of the body according to the request, in bytes, also where the body was not read.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.content_length
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_names_of_headers_are_kept_and_no_value_but_the_user_agent() {
        let request = Request::builder()
            .header("x-signature", "a value that may be a credential")
            .header("user-agent", "Accredit/1.0")
            .header("content-length", "17")
            .extension(RequestOrigin {
                source_address: Some("203.0.113.7".to_owned()),
                api_request_id: Some("id=of-the-api".to_owned()),
            })
            .body(())
            .unwrap();

        let evidence = Evidence::of(&request);

        assert_eq!(evidence.header_names(), "x-signature user-agent content-length");
        assert_eq!(evidence.user_agent().as_deref(), Some("Accredit/1.0"));
        assert_eq!(evidence.content_length(), Some(17));
        assert_eq!(evidence.source_address().as_deref(), Some("203.0.113.7"));
        assert_eq!(evidence.api_request_id().as_deref(), Some("id=of-the-api"));
        assert!(!format!("{evidence:?}").contains("credential"));
    }

    #[test]
    fn a_flood_of_headers_and_a_long_user_agent_are_cut() {
        let mut request = Request::builder().header("user-agent", "a".repeat(5_000));
        for number in 0..100 {
            request = request.header(format!("x-{number}"), "");
        }
        let evidence = Evidence::of(&request.body(()).unwrap());

        assert_eq!(evidence.header_names().split(' ').count(), MAX_HEADER_NAMES + 1);
        assert!(evidence.header_names().ends_with(" (+61)"));
        assert_eq!(evidence.user_agent().map(|agent| agent.len()), Some(MAX_TEXT_CHARACTERS));
    }

    #[test]
    fn a_content_length_that_is_no_number_is_left_out() {
        let request = Request::builder().header("content-length", "-1").body(()).unwrap();
        assert_eq!(Evidence::of(&request).content_length(), None);
        assert_eq!(Evidence::of(&Request::new(())).header_names(), "");
    }
}
