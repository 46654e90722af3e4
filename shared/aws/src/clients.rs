//! The SDK's clients, created once.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::SharedHttpClient;
use aws_smithy_http_client::{Builder, tls};
use intake_providers::ProviderName;

use crate::timeouts::{self, Budget, ContentionBudget};
use crate::{
    DynamoDeliveryRecords, DynamoLease, DynamoLedger, DynamoResumePoints, S3Payloads, S3Refused, SecretsManagerSecrets,
    SqsQueue,
};

/// The SDK's configuration, read once, and one connection pool. All ports are created from it.
#[derive(Clone, Debug)]
pub struct Clients {
    config: SdkConfig,
    payloads: Budget,
    contention: ContentionBudget,
}

impl Clients {
    /// Clients for a function that answers a webhook, with the time limits [`timeouts::INTAKE`] and
    /// [`timeouts::INTAKE_PAYLOADS`]. Takes no network where the environment names region and credentials, as Lambda's does.
    pub async fn for_intake() -> Self {
        Self::load(timeouts::INTAKE, timeouts::INTAKE_PAYLOADS).await
    }

    /// Clients for the processor and the resync, with the time limits [`timeouts::PROCESSOR`]. Takes no network where the
    /// environment names region and credentials, as Lambda's does.
    pub async fn for_processor() -> Self {
        Self::load(timeouts::PROCESSOR, timeouts::PROCESSOR).await
    }

    /// Clients for the drain, with the time limits [`timeouts::DRAIN`]. Takes no network where the environment names region
    /// and credentials, as Lambda's does.
    pub async fn for_drain() -> Self {
        Self::load(timeouts::DRAIN, timeouts::DRAIN).await
    }

    async fn load(calls: Budget, payloads: Budget) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .timeout_config(calls.timeout_config())
            .retry_config(calls.retry_config())
            .load()
            .await;
        Self { config, payloads, contention: timeouts::LEDGER_CONTENTION }
    }

    /// The queue at a URL.
    #[must_use]
    pub fn queue(&self, queue_url: String) -> SqsQueue {
        SqsQueue::new(aws_sdk_sqs::Client::new(&self.config), queue_url)
    }

    /// The store in a bucket. Its client is made with the first call.
    #[must_use]
    pub fn payloads(&self, bucket: String) -> S3Payloads {
        S3Payloads::new(self.config.clone(), self.payloads, bucket)
    }

    /// The places for refused requests in a bucket, with the time limits [`timeouts::REFUSED`]. Their client is made with the first
    /// call.
    #[must_use]
    pub fn refused(&self, bucket: String) -> S3Refused {
        S3Refused::new(self.config.clone(), timeouts::REFUSED, bucket)
    }

    /// The event bus of this name or ARN.
    #[cfg(feature = "event-bus")]
    #[must_use]
    pub fn event_bus(&self, bus: String) -> crate::EventBridge {
        crate::EventBridge::new(aws_sdk_eventbridge::Client::new(&self.config), bus)
    }

    /// The secret of this name or ARN.
    #[must_use]
    pub fn secrets(&self, secret_id: String) -> SecretsManagerSecrets {
        SecretsManagerSecrets::new(aws_sdk_secretsmanager::Client::new(&self.config), secret_id)
    }

    /// The ledger in two tables with the keys `pk` and `sk`.
    #[must_use]
    pub fn ledger(&self, events_table: String, entities_table: String) -> DynamoLedger {
        DynamoLedger::new(&self.config, events_table, entities_table, self.contention)
    }

    /// The delivery records, in the events table.
    #[must_use]
    pub fn delivery_records(&self, table: String) -> DynamoDeliveryRecords {
        DynamoDeliveryRecords::new(&self.config, table, self.contention)
    }

    /// The resume point of the resync in a table with the keys `pk` and `sk`.
    #[must_use]
    pub fn resume_points(&self, table: String) -> DynamoResumePoints {
        DynamoResumePoints::new(aws_sdk_dynamodb::Client::new(&self.config), table)
    }

    /// The lease of a provider's drain, in the events table.
    #[must_use]
    pub fn lease(&self, table: String, provider: ProviderName) -> DynamoLease {
        DynamoLease::new(aws_sdk_dynamodb::Client::new(&self.config), table, provider)
    }
}

/// One HTTP client for all services. By default each service client creates its own, with another copy of the root certificates.
pub(crate) fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc)).build_https()
}

#[cfg(test)]
impl Clients {
    /// The configuration, for other clients.
    #[cfg(feature = "operator")]
    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Clients of a service at a local endpoint.
    pub(crate) fn at(endpoint: &str, calls: Budget, contention: ContentionBudget) -> Self {
        Self { config: Self::config_at(endpoint, calls), payloads: calls, contention }
    }

    /// The configuration for a local endpoint.
    pub(crate) fn config_at(endpoint: &str, calls: Budget) -> SdkConfig {
        use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "test")))
            .http_client(http_client())
            .endpoint_url(endpoint)
            .timeout_config(calls.timeout_config())
            .retry_config(calls.retry_config())
            .build()
    }
}
