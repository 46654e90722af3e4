//! Where a server is to listen.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::lookup_host;

use crate::server::{DEFAULT_ADDRESS, ServerError};

/// The options that say it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Listen {
    /// The address to serve on, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = HostAndPort::default())]
    listen: HostAndPort,
    /// The port to serve on, on this machine alone: short for --listen 127.0.0.1:NUMBER.
    #[arg(long, value_name = "NUMBER", conflicts_with = "listen")]
    port: Option<u16>,
}

impl Listen {
    /// The address. Of a name with several, IPv4 comes first: what connects to `localhost` tries both.
    pub(super) async fn address(&self) -> Result<SocketAddr, ServerError> {
        if let Some(port) = self.port {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let HostAndPort { host, port } = &self.listen;
        let unknown = || ServerError::UnknownHost { host: host.clone() };
        let mut addresses: Vec<SocketAddr> =
            lookup_host((host.as_str(), *port)).await.map_err(|_| unknown())?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses.first().copied().ok_or_else(unknown)
    }
}

/// An IP address or a name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostAndPort {
    host: String,
    port: u16,
}

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write an address and a port, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080, or the port alone with --port"
)]
struct InvalidHostAndPort;

impl Default for HostAndPort {
    fn default() -> Self {
        Self::from(DEFAULT_ADDRESS)
    }
}

impl From<SocketAddr> for HostAndPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for HostAndPort {
    type Err = InvalidHostAndPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostAndPort> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostAndPort)?;
        let is_name =
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        let port = port.parse().map_err(|_| InvalidHostAndPort)?;
        if is_name { Ok(Self { host: host.to_owned(), port }) } else { Err(InvalidHostAndPort) }
    }
}

impl fmt::Display for HostAndPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_name_has_a_port() {
        for text in ["127.0.0.1:8080", "[::1]:0", "localhost:8399", "my-machine.example:65535"] {
            assert_eq!(text.parse::<HostAndPort>().unwrap().to_string(), text);
        }
        for text in
            ["", "8399", "localhost", ":8080", "localhost:", "localhost:65536", "::1:8080", "a b:1", "http://x:1"]
        {
            assert_eq!(text.parse::<HostAndPort>(), Err(InvalidHostAndPort), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_an_unknown_one_repeated() {
        let listen = |text: &str| Listen { listen: text.parse().unwrap(), port: None };
        assert_eq!(listen("localhost:8399").address().await.unwrap(), "127.0.0.1:8399".parse().unwrap());
        assert_eq!(listen("[::1]:1").address().await.unwrap(), "[::1]:1".parse().unwrap());
        let error = listen("nobody.invalid:1").address().await.unwrap_err().to_string();
        assert!(error.starts_with("nobody.invalid has no address here"), "{error}");
    }

    #[tokio::test]
    async fn a_port_alone_is_on_this_machine_alone() {
        let listen = Listen { listen: HostAndPort::default(), port: Some(8399) };
        assert_eq!(listen.address().await.unwrap(), "127.0.0.1:8399".parse().unwrap());
    }
}
