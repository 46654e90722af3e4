//! Whether a provider's broker can be reached and lets us in.

use std::time::Duration;

use intake_pipeline::drain::broker::{Broker, Session as _};
use intake_providers::amqp::Account;
use tokio::time::timeout;

use super::check::Check;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects and logs in, consumes nothing, and disconnects.
pub async fn check(broker: &impl Broker, account: &Account) -> Check {
    let subject = format!("broker of {}", account.provider);
    match timeout(CONNECT_TIMEOUT, broker.connect(&account.connection)).await {
        Ok(Ok(session)) => {
            // Whether it closes in an orderly way says nothing of our deliveries.
            let _ = timeout(CONNECT_TIMEOUT, session.close()).await;
            Check::well(subject, "it can be reached and accepts our login")
        }
        // The kind of failure says what to do.
        Ok(Err(error)) => Check::wrong(subject, error.to_string()),
        Err(_elapsed) => {
            Check::wrong(subject, format!("it did not answer within {} seconds", CONNECT_TIMEOUT.as_secs()))
                .remedy("check host and port in the secret, and the network")
        }
    }
}
