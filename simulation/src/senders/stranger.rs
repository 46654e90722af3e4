//! A stranger who has one genuine request of a provider, and a key that was removed.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use intake_providers::accredit::Accredit;
use intake_providers::machnet::Machnet;
use intake_providers::nurturecloud::NurtureCloud;
use tokio::time::sleep;

use crate::gateway::Sent;
use crate::invariant::Invariant;
use crate::keys::{self, ACCREDIT, KeyNumber, MACHNET, NURTURECLOUD};
use crate::marks::Mark;
use crate::site::Site;
use crate::swarm::FaultClass;

/// Replays, forges, and uses a key that was removed.
pub(super) async fn send(site: Arc<Site>) {
    let world = site.services.world.clone();
    if world.happens(FaultClass::Strangers) {
        for at in world.schedule(world.swarm.events) {
            sleep(at.saturating_sub(world.at())).await;
            attack(&site).await;
        }
    }
    use_removed_keys(&site).await;
}

async fn attack(site: &Site) {
    let world = &site.services.world;
    let captured = {
        let captured = site.captured.get();
        // Whatever it has is the first one that it saw.
        captured.first().cloned()
    };
    let Some((name, genuine)) = captured else { return };
    let mut forged = genuine.clone();
    let is_forged = match world.random.between(0..=3) {
        0 => false,
        1 => {
            forged.headers.insert(HeaderName::from_static("x-jobid"), HeaderValue::from_static("forged"));
            false
        }
        2 => {
            forged.body = Bytes::from([genuine.body.as_ref(), b" "].concat());
            // A secret in the URL does not depend on the body.
            name != NURTURECLOUD
        }
        _ => {
            forged.headers.remove("x-signature");
            forged.headers.remove("x-raas-webhook-signature");
            forged.path = forged.path.replace("Zq3v", "Zq3x").replace("Ab9c", "Ab9x");
            true
        }
    };
    let Some(answer) = site.gateway.post(name, &forged, None).await else { return };
    match (answer.status, is_forged) {
        (200, true) => {
            world.violate(Invariant::NothingForgedIsAccepted, format!("a forged request of {name} was accepted"));
        }
        (200, false) => world.marks.see(Mark::ReplayedCapture),
        (_, true) if answer.is_ours => world.marks.see(Mark::ForgeryRefused),
        _ => {}
    }
}

/// A removed key must be out once no cache may hold it, which the observer beside the API checks.
async fn use_removed_keys(site: &Site) {
    let world = &site.services.world;
    sleep(world.swarm.window.saturating_sub(world.at())).await;
    for _ in 0..3 {
        for name in [ACCREDIT, MACHNET, NURTURECLOUD] {
            if !site.operator.keys_of(name).is_first_removed {
                continue;
            }
            let number = world.random.between(0..=9);
            let sent = match name {
                ACCREDIT => {
                    let body = Bytes::from_static(br#"{"Event":"Stolen.Key","Timestamp":"2026-11-21T09:30:00Z"}"#);
                    keys::sign_accredit(KeyNumber::First, &body, "stolen", 0)
                        .map(|signed| Sent::delivery::<Accredit>(&signed))
                }
                MACHNET => {
                    let body = Bytes::from(format!(r#"{{"id":"stolen-{number}","event_name":"stolen"}}"#));
                    keys::sign_machnet(KeyNumber::First, body, "stolen")
                        .map(|signed| Sent::delivery::<Machnet>(&signed))
                }
                _ => {
                    let body =
                        Bytes::from_static(br#"{"domainComponentName":"contact","state":"Deleted","payload":{}}"#);
                    Some(Sent::delivery::<NurtureCloud>(&keys::sign_nurturecloud(KeyNumber::First, body)))
                }
            };
            let Some(sent) = sent else { continue };
            let key_part = keys::part_of_secret(name, KeyNumber::First);
            let answer = site.gateway.post(name, &sent, Some(&key_part)).await;
            if answer.is_some_and(|answer| answer.is_ours && answer.status != 200) {
                world.marks.see(Mark::RemovedKeyRefused);
            }
        }
        sleep(world.random.seconds(100..=330)).await;
    }
}
