//! What every webhook's explanation has to say, whatever its provider's proof is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use http::Method;
use intake_providers::ProviderName;
use intake_providers::answer::Answer;
use intake_providers::explain::case::{CapturedRequest, KeyDocument};
use intake_providers::explain::finding::Finding;
use intake_providers::explain::{Explanation, explain};
use intake_providers::registry::webhook_route;
use intake_providers::timestamp::Timestamp;
use intake_simulator::IMITATIONS;
use intake_simulator::contract::Contract;
use intake_simulator::signed_delivery::SignedDelivery;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

fn contracts() -> Vec<Contract> {
    IMITATIONS.iter().filter_map(|imitation| Contract::of(*imitation, now()).unwrap()).collect()
}

fn explained(contract: &Contract, path: &str, delivery: &SignedDelivery, has_other: bool) -> Explanation {
    let document = |text: &str, is_active| KeyDocument { name: "keys".to_owned(), text: text.into(), is_active };
    let mut documents = vec![document(contract.key.secret(), true)];
    if has_other {
        documents.push(document(contract.other_key.secret(), false));
    }
    let request = CapturedRequest {
        method: Method::POST,
        target: delivery.path(path),
        headers: delivery.header_map(),
        body: delivery.body.clone(),
    };
    explain(None, &request, &BTreeMap::from([(contract.provider, documents)]), now())
}

fn names(explanation: &Explanation) -> Vec<String> {
    explanation.findings.iter().map(Finding::name).collect()
}

#[test]
fn a_genuine_request_is_explained_as_genuine_and_one_without_proof_never_is() {
    for contract in contracts() {
        let path = contract.route.path();
        let genuine = explained(&contract, path, &contract.genuine().unwrap(), false);
        assert_eq!(genuine.answer, Some(Answer::Accepted), "{}", contract.provider);
        assert_eq!(names(&genuine), ["genuine"], "{}", contract.provider);

        let mut others = vec![contract.credential_missing().unwrap()];
        others.extend(contract.credential_repeated().unwrap());
        others.extend(contract.credential_malformed().unwrap());
        for other in &others {
            let explanation = explained(&contract, path, other, false);
            let names = names(&explanation);
            assert!(!names.is_empty() && !names.contains(&"genuine".to_owned()), "{}: {names:?}", contract.provider);
        }
    }
}

#[test]
fn a_key_that_is_not_active_is_found_when_its_file_is_given_and_only_then() {
    for contract in contracts() {
        let delivery = contract.by_other_key().unwrap();
        let is_found = |has_other| {
            let explanation = explained(&contract, contract.route.path(), &delivery, has_other);
            assert!(explanation.answer.as_ref().is_some_and(|answer| *answer != Answer::Accepted));
            names(&explanation).iter().any(|name| name.ends_with("retired-key"))
        };
        assert!(is_found(true) && !is_found(false), "{}", contract.provider);
    }
}

#[test]
fn a_genuine_request_to_another_providers_webhook_is_told_where_it_belongs() {
    for contract in contracts() {
        let others = ProviderName::ALL.iter().filter(|provider| **provider != contract.provider);
        for path in others.filter_map(|provider| Some(webhook_route(*provider)?.path())).chain(["/elsewhere"]) {
            let explanation = explained(&contract, path, &contract.genuine().unwrap(), false);
            let expected = contract.route.shown();
            let found =
                matches!(&explanation.findings[..], [Finding::AnotherProvider { path, .. }] if *path == expected);
            assert!(found, "{} at {path}: {:?}", contract.provider, explanation.findings);
        }
    }
}
