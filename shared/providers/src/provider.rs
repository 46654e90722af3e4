//! The providers by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A company whose events come in. The name is part of queue documents, of every event's partition key and of metrics, so
/// it never changes once it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderName {
    /// Accredit: event accreditation and badging.
    Accredit,
    /// Machnet RaaS and PaaS: remittances and payments.
    Machnet,
    /// NowCerts: insurance agency management. Its events wait in its own RabbitMQ.
    #[serde(rename = "nowcerts")]
    NowCerts,
    /// NurtureCloud: the entities of real-estate agencies.
    #[serde(rename = "nurturecloud")]
    NurtureCloud,
    /// IBM Sterling Intelligent Promising: inventory events.
    Sterling,
}

impl ProviderName {
    /// Every provider, in alphabetical order.
    pub const ALL: [Self; 5] = [Self::Accredit, Self::Machnet, Self::NowCerts, Self::NurtureCloud, Self::Sterling];

    /// The name as it is written in documents, keys, paths and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accredit => "accredit",
            Self::Machnet => "machnet",
            Self::NowCerts => "nowcerts",
            Self::NurtureCloud => "nurturecloud",
            Self::Sterling => "sterling",
        }
    }

    /// The path of the provider's webhook; none for a provider whose queue we consume. NurtureCloud's goes on with a secret,
    /// which is no part of it.
    #[must_use]
    pub const fn webhook_path(self) -> Option<&'static str> {
        match self {
            Self::Accredit | Self::Machnet | Self::NurtureCloud | Self::Sterling => Some(self.source_path()),
            Self::NowCerts => None,
        }
    }

    /// What begins the CloudEvents `source` of the provider's events: the path of its webhook, or one that stands for its
    /// queue.
    #[must_use]
    pub const fn source_path(self) -> &'static str {
        match self {
            Self::Accredit => "/webhooks/accredit",
            Self::Machnet => "/webhooks/machnet",
            Self::NowCerts => "/queues/nowcerts",
            Self::NurtureCloud => "/webhooks/nurturecloud",
            Self::Sterling => "/webhooks/sterling",
        }
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no provider's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider {0:?}; known are accredit, machnet, nowcerts, nurturecloud and sterling")]
pub struct UnknownProvider(String);

impl FromStr for ProviderName {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name).ok_or_else(|| UnknownProvider(name.to_owned()))
    }
}
