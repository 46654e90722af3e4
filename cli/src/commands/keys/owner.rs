//! Whose keys a command is about: a provider's, with which it proves itself, or ours, with which forwarded events are signed.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use intake_providers::ProviderName;

/// The name of what is forwarded, among those of the providers.
pub(super) const FORWARDING: &str = "forwarding";

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyOwner {
    /// A provider's.
    Provider(ProviderName),
    /// Ours.
    Forwarding,
}

impl KeyOwner {
    /// The provider, if it is one's.
    pub(super) const fn provider(self) -> Option<ProviderName> {
        match self {
            Self::Provider(provider) => Some(provider),
            Self::Forwarding => None,
        }
    }
}

/// Reads a name, and lists the names in the help.
pub(super) fn owner_parser() -> impl TypedValueParser<Value = KeyOwner> {
    let names = ProviderName::ALL.iter().map(|provider| provider.as_str()).chain([FORWARDING]);
    PossibleValuesParser::new(names).try_map(|name| match name.as_str() {
        FORWARDING => Ok(KeyOwner::Forwarding),
        name => name.parse::<ProviderName>().map(KeyOwner::Provider),
    })
}
