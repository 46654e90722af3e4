//! HTTP clients with one common set-up.

use std::net::IpAddr;
use std::time::Duration;

use intake_providers::nurturecloud::resync::BaseUrl;
use reqwest::{Client, Url, redirect, retry};

const USER_AGENT: &str = concat!("webhook-intake/", env!("CARGO_PKG_VERSION"));

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("no http client could be made; if certificates are the cause, install the system's ca-certificates")]
pub struct NoClient(#[source] reqwest::Error);

/// Timeouts of a client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Timeout of a connection, TLS included.
    pub connect: Duration,
    /// Timeout of a whole call, connection and answer included.
    pub call: Duration,
}

/// The kind of server that a client calls; the set-up depends on it.
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
/// It follows no redirects, because a redirect is not an acknowledgement and would send credentials elsewhere, and it does not
/// retry. This machine is reached directly, whatever proxy is set.
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
        // Plain HTTP needs no certificates, so a machine without them can use it.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(NoClient)
}

/// Whether the URL's host is this machine, under any of its names.
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
    fn this_machine_is_recognised_by_each_of_its_names() {
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
