//! Where envelopes are posted to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use crate::http_client::is_this_machine;

/// The URL of a receiver. `Debug` and `Display` show no more than scheme, host and port: a path or a query may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverUrl(Url);

/// Why a text is not the URL of a receiver. The text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReceiverUrl {
    /// Not an absolute URL of HTTP.
    #[error("this is not an http or https url; write one such as https://app.example.com/events")]
    NotHttp,
    /// A password in front of the host.
    #[error("a url with a user name or a password is not taken; the receiver verifies the signature instead")]
    WithCredentials,
    /// Events would cross other networks unencrypted.
    #[error(
        "plain http is only for this machine and its own network: localhost, a private address, or a name without a dot such as a \
         container's; write https instead"
    )]
    Unencrypted,
}

impl ReceiverUrl {
    /// The whole URL.
    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ReceiverUrl {
    type Err = InvalidReceiverUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url = Url::parse(text).map_err(|_| InvalidReceiverUrl::NotHttp)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(InvalidReceiverUrl::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidReceiverUrl::WithCredentials);
        }
        if url.scheme() == "http" && !is_this_machine(&url) && !is_of_own_network(&url) {
            return Err(InvalidReceiverUrl::Unencrypted);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }
}

fn is_of_own_network(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unique_local() || address.is_unicast_link_local(),
        Err(_) => !host.contains('.'),
    }
}

impl fmt::Display for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_the_own_network_only() {
        for text in [
            "https://app.example.com/events?key=1",
            "http://127.0.0.1:9000/",
            "http://localhost/events",
            "http://[::1]:9000/",
            "http://receiver:3000/events",
            "http://10.1.2.3/",
            "http://192.168.1.20:8000/",
            "http://[fd00::1]/",
        ] {
            assert!(text.parse::<ReceiverUrl>().is_ok(), "{text}");
        }
        for (text, error) in [
            ("", InvalidReceiverUrl::NotHttp),
            ("app.example.com/events", InvalidReceiverUrl::NotHttp),
            ("ftp://app.example.com/", InvalidReceiverUrl::NotHttp),
            ("https://user:password@app.example.com/", InvalidReceiverUrl::WithCredentials),
            ("http://app.example.com/events", InvalidReceiverUrl::Unencrypted),
            ("http://192.0.2.1/", InvalidReceiverUrl::Unencrypted),
            ("http://[2001:db8::1]/", InvalidReceiverUrl::Unencrypted),
        ] {
            assert_eq!(text.parse::<ReceiverUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn path_and_query_are_not_shown() {
        let url: ReceiverUrl = "https://app.example.com:8443/hooks/secret?key=hidden".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://app.example.com:8443 https://app.example.com:8443");
    }
}
