use super::*;
use crate::key_files::{KeyFolder, KeyName, KeyPurpose};

/// New keys of every provider.
fn new_keys() -> KeyFiles {
    let mut keys = KeyFiles::none(KeyFolder::Samples("keys".into()));
    for imitation in IMITATIONS {
        for made in imitation.test_keys(&keys, &KeyPurpose::Samples).unwrap() {
            keys.insert(made.name, made.text);
        }
    }
    keys
}

/// The first key file of a provider: what verifies, or for a provider with an authority what signs.
fn first_key(provider: ProviderName) -> Option<KeyName> {
    let imitation = IMITATIONS.iter().find(|imitation| imitation.name() == provider).unwrap();
    imitation.key_names().first().copied()
}

#[tokio::test]
async fn the_same_keys_make_the_same_samples_and_foreign_keys_are_noticed() {
    let mut keys = new_keys();
    let samples = make(&keys).await.unwrap();
    assert_eq!(make(&keys).await.unwrap(), samples);
    let others = new_keys();
    let mut noticed = Vec::new();
    for (imitation, name) in IMITATIONS.iter().filter_map(|one| Some((one, first_key(one.name())?))) {
        // A provider that signs with the very secret that verifies has no pair that could be mixed up.
        if imitation.key_names().len() == 1 {
            continue;
        }
        let own = keys.text(name).unwrap().to_owned();
        keys.insert(name, others.text(name).unwrap());
        match make(&keys).await {
            Err(SamplesError::Mismatched(provider)) => noticed.push(provider),
            other => panic!("{}: {other:?}", imitation.name()),
        }
        keys.insert(name, own);
    }
    assert_eq!(noticed, [ProviderName::Accredit, ProviderName::NurtureCloud, ProviderName::Sterling]);
}

#[tokio::test]
async fn a_secret_that_ends_a_path_is_where_an_http_api_puts_it_and_nowhere_else() {
    for imitation in IMITATIONS {
        let keys = new_keys();
        for SampleRequest { file, request } in imitation.samples(&keys).unwrap().requests {
            let sample = serde_json::to_value(&request).unwrap();
            let path = sample["rawPath"].as_str().unwrap();
            assert_eq!(sample["requestContext"]["http"]["path"], path, "{file}");
            assert_eq!(sample["requestContext"]["routeKey"], sample["routeKey"], "{file}");
            match sample["pathParameters"]["secret"].as_str() {
                Some(secret) => {
                    let route = format!("/webhooks/{}", imitation.name());
                    assert_eq!(path, format!("{route}/{secret}"), "{file}");
                    assert_eq!(sample["routeKey"], format!("POST {route}/{{secret}}"), "{file}");
                    assert_eq!(sample.to_string().matches(secret).count(), 3, "{file}");
                }
                None => assert_eq!(sample["routeKey"], format!("POST {path}"), "{file}"),
            }
        }
    }
}

#[test]
fn every_sample_has_a_name_and_every_queued_one_a_number_of_its_own() {
    let keys = new_keys();
    let (mut files, mut numbers) = (Vec::new(), Vec::new());
    for imitation in IMITATIONS {
        let samples = imitation.samples(&keys).unwrap();
        files.extend(samples.requests.iter().map(|sample| sample.file));
        numbers.extend(samples.queued.iter().map(|sample| sample.number));
    }
    files.sort_unstable();
    numbers.sort_unstable();
    assert!(files.windows(2).all(|pair| pair[0] != pair[1]), "{files:?}");
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

#[test]
fn the_fixed_times_are_times_and_the_same_in_both_spellings() {
    assert_ne!(arrival(), Timestamp::EPOCH);
    let arrival = arrival().to_string();
    let [day, month, rest] = ARRIVAL_IN_LOG_FORMAT.splitn(3, '/').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(month, "Nov");
    let (year, time) = rest.split_once(':').unwrap();
    assert_eq!(arrival, format!("{year}-11-{day}T{}.000Z", time.trim_end_matches(" +0000")));
}
