//! Reads the names that several commands take.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use intake_pipeline::ledger::Outcome;
use intake_providers::ProviderName;
use intake_providers::registry::webhook_route;
use strum::VariantArray as _;

/// Reads a provider's name, and lists the names in the help.
pub(super) fn provider_parser() -> impl TypedValueParser<Value = ProviderName> {
    PossibleValuesParser::new(ProviderName::ALL.iter().map(|provider| provider.as_str()))
        .try_map(|name| name.parse::<ProviderName>())
}

/// Reads the name of a provider that sends us requests, and lists the names in the help.
pub(super) fn webhook_parser() -> impl TypedValueParser<Value = ProviderName> {
    let with_webhook = ProviderName::ALL.iter().filter(|provider| webhook_route(**provider).is_some());
    PossibleValuesParser::new(with_webhook.map(|provider| provider.as_str()))
        .try_map(|name| name.parse::<ProviderName>())
}

/// Reads an outcome's name, and lists the names in the help.
pub(super) fn outcome_parser() -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::VARIANTS.iter().map(|outcome| outcome.as_str()))
        .try_map(|name| name.parse::<Outcome>().map_err(|error| error.to_string()))
}
