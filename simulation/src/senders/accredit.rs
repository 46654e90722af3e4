//! Accredit: a 400 triggers a retry, at most five times. The job's id and attempt are unsigned.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use intake_providers::accredit::Accredit;
use intake_providers::timestamp::Timestamp;
use intake_simulator::accredit;
use tokio::time::sleep;

use crate::gateway::Sent;
use crate::keys::{self, ACCREDIT};
use crate::site::Site;
use crate::swarm::FaultClass;

/// Number of retries.
const RETRIES: u32 = 5;

/// Number of files that events are about, so that the same event is sent more than once.
const FILES: u64 = 8;

/// Sends its events.
pub(super) async fn send(site: Arc<Site>) {
    let world = site.services.world.clone();
    let mut deliveries = FuturesUnordered::new();
    for (number, at) in world.schedule(world.swarm.events).into_iter().enumerate() {
        sleep(at.saturating_sub(world.at())).await;
        let body = body(&site);
        // A job's id may come again with another event: it is unsigned.
        let job_id = format!("job-{}", if world.random.permille(200) { 0 } else { number });
        let site = Arc::clone(&site);
        deliveries.push(tokio::spawn(async move { deliver(&site, &body, &job_id).await }));
    }
    while deliveries.next().await.is_some() {}
}

fn body(site: &Site) -> Bytes {
    let world = &site.services.world;
    let file = world.random.between(0..=FILES - 1);
    if world.happens(FaultClass::MalformedContent) {
        return Bytes::from(format!(r#"{{"Event":"BadgeExportZipFile.Created","BadgeExportZipFileId":"{file}","#));
    }
    let timestamp = Timestamp::EPOCH.plus(std::time::Duration::from_secs(1_795_000_000 + file));
    let plain = accredit::body(&format!("6b8e64f2-c1d9-4a5c-8f3e-0000000000{file:02}"), timestamp);
    match file % 4 {
        // White space is part of the body.
        1 => Bytes::from([plain.as_ref(), b"\n"].concat()),
        // Too large for its entry.
        2 => {
            let text = String::from_utf8_lossy(&plain).into_owned();
            let large = text.replacen('{', &format!(r#"{{"Note":"{}","#, "n".repeat(17 * 1024)), 1);
            Bytes::from(large)
        }
        _ => plain,
    }
}

async fn deliver(site: &Site, body: &Bytes, job_id: &str) {
    let world = &site.services.world;
    for attempt in 0..=RETRIES {
        let key = site.signing_key(ACCREDIT);
        let Some(signed) = keys::sign_accredit(key, body, job_id, attempt) else { return };
        let sent = Sent::delivery::<Accredit>(&signed);
        if let Some(answer) = site.post(ACCREDIT, key, &sent).await {
            site.check_status(ACCREDIT, &answer, &[200, 400]);
            if answer.status == 200 {
                return;
            }
        }
        sleep(world.random.seconds(5..=60)).await;
    }
}
