//! The providers by name.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantArray};

macro_rules! provider_name {
    ($($(#[doc = $doc:literal])* $provider:ident = $module:ident ($source:ident),)+) => {
        /// A company whose events we receive. The name is part of queue messages, of every event's partition key and of metrics, so
        /// it never changes once it is in use.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Display, EnumString,
            VariantArray,
        )]
        #[serde(rename_all = "lowercase")]
        #[strum(
            serialize_all = "lowercase",
            parse_err_ty = UnknownProvider,
            parse_err_fn = unknown_provider
        )]
        pub enum ProviderName {
            $($(#[doc = $doc])* $provider,)+
        }

        impl ProviderName {
            /// The name as it is written in queue messages, keys, paths and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$provider => stringify!($module),)+
                }
            }

            /// What it sends us, in the words of the list.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$provider => concat!($($doc),*).trim_ascii(),)+
                }
            }

            /// Prefix of the CloudEvents `source` of the provider's events: the path of its webhook, or one that represents its
            /// queue.
            #[must_use]
            pub const fn source_path(self) -> &'static str {
                match self {
                    $(Self::$provider => source_path!($source $module),)+
                }
            }
        }
    };
}

macro_rules! source_path {
    (webhook $module:ident) => {
        concat!("/webhooks/", stringify!($module))
    };
    (queue $module:ident) => {
        concat!("/queues/", stringify!($module))
    };
}

providers!(provider_name);

impl ProviderName {
    /// All providers, in the order of the list.
    pub const ALL: &[Self] = Self::VARIANTS;
}

/// Not a provider's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider {name:?}; known are {}", known_names())]
pub struct UnknownProvider {
    name: String,
}

fn unknown_provider(name: &str) -> UnknownProvider {
    UnknownProvider { name: name.to_owned() }
}

fn known_names() -> String {
    ProviderName::ALL.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_same_text_everywhere() {
        for name in ProviderName::ALL {
            assert_eq!(name.as_str().parse(), Ok(*name));
            assert_eq!(name.to_string(), name.as_str());
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
            assert!(name.source_path().ends_with(&format!("/{name}")));
        }
    }

    #[test]
    fn an_unknown_name_is_quoted_beside_the_known_ones() {
        let error = "nobody".parse::<ProviderName>().unwrap_err().to_string();
        assert!(error.starts_with("unknown provider \"nobody\"; known are "), "{error}");
        assert!(ProviderName::ALL.iter().all(|name| error.contains(name.as_str())), "{error}");
    }
}
