//! Which headers of a request are kept with its delivery: all but credentials, within a limit.

use http::HeaderMap;

use crate::authentic::KeptHeader;

/// Maximum size of the headers that are kept of a request, names and values together, in bytes. API Gateway takes 10,240 bytes of
/// them. Source: AWS, "Amazon API Gateway HTTP API quotas".
pub const MAX_KEPT_HEADERS_BYTES: usize = 8 * 1024;

/// The names of the headers that were not kept, separated by commas. A request cannot bring a header of this name.
pub const OMITTED_HEADERS_HEADER: &str = "intake-omitted-headers";

/// Maximum length of that list, in bytes.
const MAX_OMITTED_NAMES_BYTES: usize = 512;

/// What a header's name contains if its value is a credential. This is for headers that a provider's page doesn't know, such as those
/// that a proxy adds.
const CREDENTIAL_NAMES: [&str; 16] = [
    "authorization",
    "authentication",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "session",
    "jwt",
    "assertion",
    "api-key",
    "apikey",
    "api_key",
    "access-key",
    "functions-key",
];

/// What the value of a credential begins with. Source: IANA, "HTTP Authentication Schemes".
const CREDENTIAL_SCHEMES: [&str; 4] = ["basic ", "bearer ", "digest ", "dpop "];

/// What is particular to a provider about the headers of its requests.
#[derive(Clone, Copy)]
pub(crate) struct HeaderPolicy<'a> {
    /// The headers that its events are read from, and what else belongs to its contract. They are kept before any others.
    pub(crate) own: &'a [&'a str],
    /// Whether a value contains the credential. Headers that [look like credentials](is_like_a_credential) need not be recognised.
    pub(crate) has_credential: &'a (dyn Fn(&[u8]) -> bool + 'a),
}

impl HeaderPolicy<'_> {
    /// The policy of a provider whose credential signs a body and is worthless without it.
    pub(crate) const fn signed<'a>(own: &'a [&'a str]) -> HeaderPolicy<'a> {
        HeaderPolicy { own, has_credential: &|_| false }
    }

    /// The headers to keep.
    pub(crate) fn kept(&self, headers: &HeaderMap) -> Vec<KeptHeader> {
        let mut kept = Vec::with_capacity(headers.len());
        let mut left_bytes = MAX_KEPT_HEADERS_BYTES - MAX_OMITTED_NAMES_BYTES - OMITTED_HEADERS_HEADER.len();
        let mut omitted = Omitted::default();
        let is_own = |name: &str| self.own.contains(&name);
        let all = || headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let others = all().filter(|(name, _)| !is_own(name) && *name != OMITTED_HEADERS_HEADER);
        for (name, value) in all().filter(|(name, _)| is_own(name)).chain(others) {
            let size_bytes = name.len() + value.len();
            if is_like_a_credential(name, value) || (self.has_credential)(value) || size_bytes > left_bytes {
                omitted.note(name);
                continue;
            }
            left_bytes -= size_bytes;
            kept.push(KeptHeader { name: name.to_owned(), value: value.to_vec() });
        }
        kept.extend(omitted.into_header());
        kept
    }
}

/// The names of headers that are not kept.
#[derive(Default)]
struct Omitted(Vec<String>);

impl Omitted {
    fn note(&mut self, name: &str) {
        if !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }

    fn into_header(self) -> Option<KeptHeader> {
        let mut text = String::new();
        for (place, name) in self.0.iter().enumerate() {
            let (separator, and) = if text.is_empty() { ("", "") } else { (", ", " and ") };
            let more = format!("{and}{} more", self.0.len() - place);
            if text.len() + separator.len() + name.len() + more.len() > MAX_OMITTED_NAMES_BYTES {
                text.push_str(&more);
                break;
            }
            text.push_str(separator);
            text.push_str(name);
        }
        (!text.is_empty()).then(|| KeptHeader { name: OMITTED_HEADERS_HEADER.to_owned(), value: text.into_bytes() })
    }
}

/// Whether a header is a credential by its name, which is in lower case, or by the scheme that its value begins with.
pub(crate) fn is_like_a_credential(name: &str, value: &[u8]) -> bool {
    let begins_with =
        |scheme: &&str| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()));
    CREDENTIAL_NAMES.iter().any(|part| name.contains(part)) || CREDENTIAL_SCHEMES.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::headers;

    fn kept(policy: &HeaderPolicy<'_>, headers: &HeaderMap) -> Vec<(String, String)> {
        let text = |header: KeptHeader| (header.name, String::from_utf8(header.value).unwrap());
        policy.kept(headers).into_iter().map(text).collect()
    }

    fn names_and_values(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_header_is_kept_but_credentials_of_which_the_name_is() {
        let request = headers(&[
            ("host", "hooks.example.com"),
            ("x-signature", "c2lnbmVk"),
            ("Authorization", "Bearer abc"),
            ("cookie", "a=b"),
            ("x-api-key", "k"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "203.0.113.10"),
            ("x-odd", "BASIC abc"),
            ("x-amzn-oidc-accesstoken", "t"),
            ("x-echo", "this is the credential"),
            ("idempotency-key", "1"),
        ]);
        let policy = HeaderPolicy { own: &["x-signature"], has_credential: &|value| value.ends_with(b"credential") };
        assert_eq!(
            kept(&policy, &request),
            names_and_values(&[
                ("x-signature", "c2lnbmVk"),
                ("host", "hooks.example.com"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-for", "203.0.113.10"),
                ("idempotency-key", "1"),
                ("intake-omitted-headers", "authorization, cookie, x-api-key, x-odd, x-amzn-oidc-accesstoken, x-echo"),
            ])
        );
    }

    #[test]
    fn a_providers_own_headers_come_before_large_ones_and_a_request_cannot_say_what_was_omitted() {
        let large = "l".repeat(MAX_KEPT_HEADERS_BYTES);
        let request =
            headers(&[("x-large", &large), ("intake-omitted-headers", "forged"), ("x-jobid", "j"), ("x-small", "s")]);
        assert_eq!(
            kept(&HeaderPolicy::signed(&["x-jobid"]), &request),
            names_and_values(&[("x-jobid", "j"), ("x-small", "s"), ("intake-omitted-headers", "x-large")])
        );
        let forged = headers(&[("intake-omitted-headers", "forged")]);
        assert_eq!(kept(&HeaderPolicy::signed(&[]), &forged), []);
    }

    #[test]
    fn a_header_is_kept_that_just_fits() {
        let left = MAX_KEPT_HEADERS_BYTES - MAX_OMITTED_NAMES_BYTES - OMITTED_HEADERS_HEADER.len();
        for (size, name) in [(left, "x-large"), (left + 1, OMITTED_HEADERS_HEADER)] {
            let kept = kept(&HeaderPolicy::signed(&[]), &headers(&[("x-large", &"l".repeat(size - "x-large".len()))]));
            assert_eq!(kept.len(), 1, "{size}");
            assert_eq!(kept[0].0, name, "{size}");
        }
    }

    #[test]
    fn an_omitted_header_is_named_if_that_leaves_room_to_count_the_others() {
        let first = "a".repeat(249);
        let room = MAX_OMITTED_NAMES_BYTES - first.len() - ", ".len() - " and 1 more".len();
        for (length, and) in [(room, format!(", {}", "b".repeat(room))), (room + 1, " and 1 more".to_owned())] {
            let header = Omitted(vec![first.clone(), "b".repeat(length)]).into_header().unwrap();
            assert_eq!(String::from_utf8(header.value).unwrap(), format!("{first}{and}"));
        }
    }

    #[test]
    fn of_many_omitted_headers_the_first_are_named_and_the_others_counted() {
        let mut request = HeaderMap::new();
        for number in 0..200 {
            let name = HeaderName::from_bytes(format!("x-token-{number:03}").as_bytes()).unwrap();
            request.append(name, HeaderValue::from_static("t"));
        }
        let kept = kept(&HeaderPolicy::signed(&[]), &request);
        let [(_, names)] = kept.as_slice() else { panic!("{kept:?}") };
        assert!(names.starts_with("x-token-000, x-token-001, ") && names.ends_with(" more"), "{names}");
        let named = names.matches("x-token-").count();
        assert!(names.ends_with(&format!(" and {} more", 200 - named)), "{names}");
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_within_the_limit(
            headers in prop::collection::vec(("[a-z](-token)?", 0_usize..300, "[ -~]", 0_usize..3_000), 0..40),
        ) {
            let mut request = HeaderMap::new();
            for (name, more, character, length) in &headers {
                let name = HeaderName::from_bytes(format!("{name}{}", "-".repeat(*more)).as_bytes()).unwrap();
                request.append(name, HeaderValue::from_bytes(character.repeat(*length).as_bytes()).unwrap());
            }
            let kept = HeaderPolicy::signed(&["a"]).kept(&request);
            let size: usize = kept.iter().map(|header| header.name.len() + header.value.len()).sum();
            prop_assert!(size <= MAX_KEPT_HEADERS_BYTES, "{}", size);
        }
    }
}
