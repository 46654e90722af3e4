//! HTTP clients, all set up in the same way.

use std::net::IpAddr;
use std::time::Duration;

use intake_providers::nurturecloud::resync::BaseUrl;
use reqwest::{Client, Url, redirect, retry};

const USER_AGENT: &str = concat!("webhook-intake/", env!("CARGO_PKG_VERSION"));

/// No HTTP client could be set up.
#[derive(Debug, thiserror::Error)]
#[error("no http client could be made; if certificates are the cause, install the system's ca-certificates")]
pub struct NoClient(#[source] reqwest::Error);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A connection, TLS included.
    pub connect: Duration,
    /// A whole call, connection and answer included.
    pub call: Duration,
}

/// The other side of a client, as far as the set-up depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    is_this_machine: bool,
    is_secure: bool,
}

impl From<&Url> for Peer {
    fn from(url: &Url) -> Self {
        Self { is_this_machine: is_this_machine(url), is_secure: url.scheme() == "https" }
    }
}

impl From<&BaseUrl> for Peer {
    fn from(url: &BaseUrl) -> Self {
        Self { is_this_machine: url.is_this_machine(), is_secure: url.is_secure() }
    }
}

/// A client for this peer.
///
/// It follows no redirect, because one is not an acknowledgement and would carry credentials elsewhere, and it repeats no request.
/// This machine is reached directly, whatever proxy is set.
///
/// # Errors
/// When the system has no root certificates, or TLS can't be set up.
pub fn http_client(peer: impl Into<Peer>, limits: Limits) -> Result<Client, NoClient> {
    let Peer { is_this_machine, is_secure } = peer.into();
    let mut builder = Client::builder()
        .connect_timeout(limits.connect)
        .timeout(limits.call)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .user_agent(USER_AGENT);
    if is_this_machine {
        builder = builder.no_proxy();
    }
    if is_secure {
        builder = builder.https_only(true);
    } else {
        // Plain HTTP needs no certificates, so a machine without any can use it.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(NoClient)
}

/// Whether a URL is of this machine, by any of its names.
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_any_of_its_names() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/", true),
            ("http://localhost/", true),
            ("http://[::1]:80/", true),
            ("http://192.0.2.1/", false),
            ("http://localhost.example.com/", false),
        ] {
            assert_eq!(is_this_machine(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
