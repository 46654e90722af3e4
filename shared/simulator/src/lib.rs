#![doc = include_str!("../README.md")]

pub mod contract;
pub mod error;
pub mod examples;
pub mod imitation;
pub mod key_files;
pub mod made_up;
pub mod owed;
pub mod samples;
pub mod scenario;
pub mod send;
pub mod signed_delivery;
pub mod token;

use imitation::Imitation;

macro_rules! imitations {
    ($($(#[$_doc:meta])* $_provider:ident = $module:ident ($_source:ident),)+) => {
        $(pub mod $module;)+

        /// Every provider of the registry, in its order.
        pub static IMITATIONS: &[&dyn Imitation] = &[$(&$module::Imitated,)+];
    };
}

intake_providers::providers!(imitations);

/// The account that test keys belong to.
pub const TEST_ACCOUNT: &str = "main";

#[cfg(test)]
mod tests {
    use intake_providers::ProviderName;
    use intake_providers::registry::webhook_route;

    use super::*;

    #[test]
    fn every_provider_is_imitated_under_its_own_name_and_with_a_webhook_if_it_has_one() {
        let names: Vec<ProviderName> = IMITATIONS.iter().map(|imitation| imitation.name()).collect();
        assert_eq!(names, ProviderName::ALL);
        for imitation in IMITATIONS {
            let name = imitation.name();
            assert_eq!(imitation.webhook().is_some(), webhook_route(name).is_some(), "{name}");
        }
    }
}
