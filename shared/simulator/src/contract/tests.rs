use intake_providers::delivery::DeliveryId;
use intake_providers::registry::{VisitWebhooks, visit_webhooks};
use intake_providers::webhook::Webhook;

use super::*;
use crate::IMITATIONS;
use crate::owed::Redelivery;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

fn has_form<W: Webhook>(delivery: &SignedDelivery) -> bool {
    W::credential(&delivery.path(W::ROUTE.path()), &delivery.header_map()).is_ok()
}

fn verifies<W: Webhook>(secret: &str, delivery: &SignedDelivery) -> bool {
    assert_eq!(W::read_keys(secret).unwrap().problems, [], "{}", W::NAME);
    delivery.verified::<W>(secret, DeliveryId::new(now(), [1; 10]), now()).is_ok()
}

#[test]
fn a_genuine_request_is_verified_by_its_own_secret_and_the_others_are_not() {
    struct Check;
    impl VisitWebhooks for Check {
        fn visit<W: Webhook>(&mut self) {
            let imitation = IMITATIONS.iter().find(|imitation| imitation.name() == W::NAME).unwrap();
            let contract = Contract::of(*imitation, now()).unwrap().unwrap();
            let (ours, other) = (contract.key.secret(), contract.other_key.secret());
            assert!(verifies::<W>(ours, &contract.genuine().unwrap()), "{}", W::NAME);
            assert!(!verifies::<W>(other, &contract.genuine().unwrap()), "{}", W::NAME);
            assert!(!verifies::<W>(ours, &contract.by_other_key().unwrap()), "{}", W::NAME);
            assert!(verifies::<W>(other, &contract.by_other_key().unwrap()), "{}", W::NAME);

            assert!(!has_form::<W>(&contract.credential_missing().unwrap()), "{}", W::NAME);
            let repeated = contract.credential_repeated().unwrap();
            assert_eq!(repeated.is_some(), contract.expected(Situation::CredentialRepeated).is_some());
            assert!(!repeated.is_some_and(|delivery| has_form::<W>(&delivery)), "{}", W::NAME);
            for malformed in contract.credential_malformed().unwrap() {
                assert!(!has_form::<W>(&malformed), "{}: {malformed:?}", W::NAME);
            }
            for secret in contract.unset_secrets() {
                assert!(W::is_unset(&W::read_keys(secret).unwrap().keys), "{}: {secret}", W::NAME);
            }
            for secret in contract.malformed_secrets() {
                assert!(W::read_keys(secret).is_err(), "{}: {secret}", W::NAME);
            }
        }
    }
    visit_webhooks(&mut Check);
}

#[test]
fn no_answer_to_a_fault_of_ours_lets_a_provider_give_up() {
    for webhook in IMITATIONS.iter().filter_map(|imitation| imitation.webhook()) {
        for &situation in Situation::ALL.iter().filter(|situation| situation.is_our_fault()) {
            let expected = webhook.expected(situation).unwrap();
            assert_ne!(expected.redelivery, Redelivery::No, "{situation:?}");
            assert!((400..600).contains(&expected.status), "{situation:?}");
        }
    }
}
