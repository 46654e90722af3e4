//! What the simulated providers send in the demo.

use std::path::PathBuf;

use bytes::Bytes;
use intake_providers::timestamp::Timestamp;
use intake_simulator::IMITATIONS;
use intake_simulator::key_files::{KeyFiles, KeyFolder, KeyPurpose};
use intake_simulator::scenario::{Sent, StepResult};
use intake_simulator::signed_delivery::SignedDelivery;

use super::schemas::assert_valid;
use super::stories::World;

/// The bodies that a provider's steps of the demo bring in, each with the number of its events that consumers receive.
fn bodies(number: usize) -> Vec<(Bytes, usize)> {
    let mut keys = KeyFiles::none(KeyFolder::Samples(PathBuf::new()));
    for key in IMITATIONS[number].test_keys(&keys, &KeyPurpose::Samples).unwrap() {
        keys.insert(key.name, key.text);
    }
    let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    let steps = IMITATIONS[number].demo(&keys, 1, now).unwrap();
    let received = |outcome: &str| ["stored", "repeat", "conflict"].contains(&outcome);
    steps
        .into_iter()
        .filter_map(|step| match (step.sent, step.expected.result) {
            (Sent::TokenRequest(_), _) | (_, StepResult::Refused | StepResult::Token) => None,
            (Sent::Delivery(SignedDelivery { body, .. }) | Sent::WithToken(body), StepResult::Recorded(outcomes)) => {
                Some((body, outcomes.iter().filter(|outcome| received(outcome.as_str())).count()))
            }
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_event_of_the_demo_that_is_no_duplicate_and_not_quarantined_has_a_valid_envelope_of_its_own() {
    let mut envelopes = 0;
    for (number, imitation) in IMITATIONS.iter().enumerate() {
        let mut world = World::default();
        let mut ids = std::collections::BTreeSet::new();
        for (body, received) in bodies(number) {
            let sent = world.sent(imitation.name(), &[], body).await;
            assert_eq!(sent.len(), received, "{sent:#?}");
            for envelope in sent {
                assert_valid(&envelope);
                let value: serde_json::Value = serde_json::from_str(&envelope).unwrap();
                assert!(ids.insert(value["id"].as_str().unwrap().to_owned()), "two envelopes share an id: {envelope}");
                envelopes += 1;
            }
        }
    }
    assert!(envelopes > 15, "{envelopes}");
}
