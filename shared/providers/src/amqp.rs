//! Messages of AMQP 0-9-1, and the accounts with which they are consumed.
//!
//! A message is as good as verified when we consumed it from the provider's broker with a login of our own: the broker decides
//! who publishes. So an [`Account`] can vouch for what was consumed with its login.

use std::fmt;

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::active_keys::MatchedKey;
use crate::authentic::{Authentic, KeptHeader};
use crate::kept_headers::is_like_a_credential;
use crate::registry::name::ProviderName;

/// The AMQP `message_id`, where the publisher sets it.
pub const MESSAGE_ID_HEADER: &str = "amqp-message-id";
/// The AMQP `timestamp`: the publisher's time, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "amqp-timestamp";
/// The AMQP `type`: the publisher's name for the kind of message.
pub const TYPE_HEADER: &str = "amqp-type";
/// The AMQP `content_type`: the media type of the body.
pub const CONTENT_TYPE_HEADER: &str = "content-type";
/// The AMQP `content_encoding` of the body.
pub const CONTENT_ENCODING_HEADER: &str = "content-encoding";
/// `true` if the broker has delivered the message before.
pub const REDELIVERED_HEADER: &str = "amqp-redelivered";
/// The exchange that the message was published to.
pub const EXCHANGE_HEADER: &str = "amqp-exchange";
/// The routing key that the message was published with.
pub const ROUTING_KEY_HEADER: &str = "amqp-routing-key";
/// How often the message was requeued; only quorum queues count it.
pub const DELIVERY_COUNT_HEADER: &str = "amqp-delivery-count";
/// The queue that the message was consumed from.
pub const QUEUE_HEADER: &str = "amqp-queue";
/// Prefix of the names under which the publisher's own headers are kept.
pub const OWN_HEADER_PREFIX: &str = "amqp-header-";
/// Number of the publisher's own headers that were dropped.
pub const OMITTED_HEADERS_HEADER: &str = "amqp-headers-omitted";

/// Maximum number of the publisher's own headers that are kept. Together they stay far below the size of a queue message.
pub const MAX_OWN_HEADERS: usize = 32;

/// Maximum length of such a header's name, in bytes; a longer one is dropped.
pub const MAX_OWN_HEADER_NAME_BYTES: usize = 128;

/// Maximum length of such a header's value, in bytes; a longer one is dropped.
pub const MAX_OWN_HEADER_VALUE_BYTES: usize = 1024;

/// The name of an AMQP queue, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// Checks a name: 1 to 255 bytes, the length of AMQP's short strings, without control characters.
    ///
    /// # Errors
    /// When the text is empty, too long, or contains a control character.
    pub fn new(text: &str) -> Result<Self, InvalidQueueName> {
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            return Err(InvalidQueueName);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a valid queue name. The text is not repeated: a secret may have been pasted in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a queue is 1 to 255 bytes without control characters")]
pub struct InvalidQueueName;

/// A login's password. It is wiped when dropped, and `Debug` doesn't show it.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The password itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.reveal().as_bytes().ct_eq(other.reveal().as_bytes()).into()
    }
}

impl Eq for Password {}

/// A broker's address, and the login for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// A host name or an address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port; 5672 by default, 5671 with TLS.
    pub port: u16,
    /// The virtual host; most often `/`.
    pub virtual_host: String,
    /// The login's name.
    pub username: String,
    /// The login's password.
    pub password: Password,
    /// Whether the connection is TLS, the broker's certificate checked (`amqps`).
    pub tls: bool,
}

/// An account at a provider whose queues we consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The provider that owns the queues.
    pub provider: ProviderName,
    /// The account's name, and a fingerprint of the login.
    pub authenticated_by: MatchedKey,
    /// The broker and the login.
    pub connection: Connection,
    /// The queue that events arrive on.
    pub queue: QueueName,
    /// The queue that a replay arrives on, where there is one.
    pub replay_queue: Option<QueueName>,
}

impl Account {
    /// Vouches for a message that was consumed from a queue with this account's login.
    #[must_use]
    pub fn consumed(&self, queue: &QueueName, message: Message) -> Authentic {
        Authentic {
            provider: self.provider,
            authenticated_by: self.authenticated_by.clone(),
            headers: message.properties.kept_headers(queue),
            body: message.body,
        }
    }
}

/// All problems of a secret that should hold an account. Its values are not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct AccountProblems(Vec<String>);

impl AccountProblems {
    pub(crate) const fn new(problems: Vec<String>) -> Self {
        Self(problems)
    }
}

impl fmt::Display for AccountProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret cannot be used: {}", self.0.join("; "))
    }
}

/// A message as the broker delivers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The body, byte for byte.
    pub body: Bytes,
    /// The publisher's properties, and the broker's delivery information.
    pub properties: Properties,
}

/// A message's properties and delivery information.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// `message-id`.
    pub message_id: Option<String>,
    /// `timestamp`, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// `type`.
    pub kind: Option<String>,
    /// `content-type`.
    pub content_type: Option<String>,
    /// `content-encoding`.
    pub content_encoding: Option<String>,
    /// The publisher's own headers, each value as text; RabbitMQ's `x-delivery-count` is not among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whether the broker has delivered the message before.
    pub redelivered: bool,
    /// The exchange that the message was published to; empty for the default exchange.
    pub exchange: String,
    /// The routing key that the message was published with.
    pub routing_key: String,
    /// How often the message was requeued. Only quorum queues count it.
    pub delivery_count: Option<u64>,
}

impl Properties {
    /// The properties as headers of a delivery.
    fn kept_headers(self, queue: &QueueName) -> Vec<KeptHeader> {
        let mut kept = Vec::new();
        let mut keep = |name: &str, value: Vec<u8>| kept.push(KeptHeader { name: name.to_owned(), value });
        for (name, value) in [
            (MESSAGE_ID_HEADER, self.message_id),
            (TIMESTAMP_HEADER, self.timestamp.map(|seconds| seconds.to_string())),
            (TYPE_HEADER, self.kind),
            (CONTENT_TYPE_HEADER, self.content_type),
            (CONTENT_ENCODING_HEADER, self.content_encoding),
            (REDELIVERED_HEADER, Some(self.redelivered.to_string())),
            (EXCHANGE_HEADER, Some(self.exchange)),
            (ROUTING_KEY_HEADER, Some(self.routing_key)),
            (DELIVERY_COUNT_HEADER, self.delivery_count.map(|count| count.to_string())),
            (QUEUE_HEADER, Some(queue.to_string())),
        ] {
            if let Some(value) = value {
                keep(name, value.into_bytes());
            }
        }
        let all = self.headers.len();
        let fitting = self.headers.into_iter().filter(|(name, value)| {
            name.len() <= MAX_OWN_HEADER_NAME_BYTES
                && value.len() <= MAX_OWN_HEADER_VALUE_BYTES
                && !is_like_a_credential(&name.to_lowercase(), value)
        });
        let mut own = 0;
        for (name, value) in fitting.take(MAX_OWN_HEADERS) {
            keep(&format!("{OWN_HEADER_PREFIX}{}", name.to_lowercase()), value);
            own += 1;
        }
        if own < all {
            keep(OMITTED_HEADERS_HEADER, (all - own).to_string().into_bytes());
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(properties: Properties) -> Vec<(String, String)> {
        let headers = properties.kept_headers(&QueueName::new("events").unwrap());
        headers.into_iter().map(|header| (header.name, String::from_utf8(header.value).unwrap())).collect()
    }

    fn names_and_values(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_property_is_kept_under_a_name_of_its_own() {
        let properties = Properties {
            message_id: Some("m1".to_owned()),
            timestamp: Some(1_795_257_000),
            kind: Some("PolicyUpdated".to_owned()),
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            headers: vec![("Tenant".to_owned(), b"7".to_vec()), ("amqp-queue".to_owned(), b"forged".to_vec())],
            redelivered: true,
            exchange: "changes".to_owned(),
            routing_key: "policy.updated".to_owned(),
            delivery_count: Some(3),
        };
        assert_eq!(
            kept(properties),
            names_and_values(&[
                ("amqp-message-id", "m1"),
                ("amqp-timestamp", "1795257000"),
                ("amqp-type", "PolicyUpdated"),
                ("content-type", "application/json"),
                ("content-encoding", "utf-8"),
                ("amqp-redelivered", "true"),
                ("amqp-exchange", "changes"),
                ("amqp-routing-key", "policy.updated"),
                ("amqp-delivery-count", "3"),
                ("amqp-queue", "events"),
                ("amqp-header-tenant", "7"),
                ("amqp-header-amqp-queue", "forged"),
            ])
        );
    }

    #[test]
    fn properties_that_the_publisher_did_not_set_are_omitted() {
        assert_eq!(
            kept(Properties::default()),
            names_and_values(&[
                ("amqp-redelivered", "false"),
                ("amqp-exchange", ""),
                ("amqp-routing-key", ""),
                ("amqp-queue", "events"),
            ])
        );
    }

    #[test]
    fn a_publisher_s_credential_is_dropped_and_counted() {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers = vec![header("Authorization", "x"), header("hop", "Bearer x"), header("tenant", "7")];
        let kept = kept(Properties { headers, ..Properties::default() });
        let own: Vec<_> = kept.into_iter().filter(|(name, _)| name.starts_with("amqp-header")).collect();
        assert_eq!(own, names_and_values(&[("amqp-header-tenant", "7"), (OMITTED_HEADERS_HEADER, "2")]));
    }

    #[test]
    fn headers_beyond_the_limits_are_dropped_and_counted() {
        let long_value = ("long".to_owned(), vec![b'v'; MAX_OWN_HEADER_VALUE_BYTES + 1]);
        let long_name = ("n".repeat(MAX_OWN_HEADER_NAME_BYTES + 1), b"v".to_vec());
        let many = (0..MAX_OWN_HEADERS + 1).map(|number| (number.to_string(), b"v".to_vec()));
        let headers = [long_value, long_name].into_iter().chain(many).collect();
        let kept = kept(Properties { headers, ..Properties::default() });
        let own = kept.iter().filter(|(name, _)| name.starts_with(OWN_HEADER_PREFIX)).count();
        assert_eq!(own, MAX_OWN_HEADERS);
        assert!(kept.iter().all(|(_, value)| value.len() <= MAX_OWN_HEADER_VALUE_BYTES));
        assert_eq!(kept.last(), Some(&(OMITTED_HEADERS_HEADER.to_owned(), "3".to_owned())));
    }

    #[test]
    fn a_queue_name_has_1_to_255_bytes() {
        for name in ["", "a\nb", &"q".repeat(256)] {
            assert!(QueueName::new(name).is_err(), "{name:?}");
        }
        assert!(QueueName::new(&"q".repeat(255)).is_ok());
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Password::new("hush".to_owned()));
        assert!(shown.starts_with("Password(") && !shown.contains("hush"), "{shown}");
    }
}
