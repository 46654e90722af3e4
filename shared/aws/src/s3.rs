//! The payload store on S3.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use bytes::Bytes;
use intake_pipeline::payloads::{PayloadKey, PayloadReader, Payloads};
use intake_pipeline::port_error::PortError;
use intake_pipeline::refused::keeper::{PutNew, RefusedStore};

use crate::port_error::port_error;
use crate::timeouts::Budget;

const PUT: &str = "s3 PutObject";
const GET: &str = "s3 GetObject";

/// A bucket of S3.
#[derive(Debug)]
pub struct S3Payloads {
    client: LazyClient,
    bucket: String,
}

/// Places for refused requests in a bucket of S3.
#[derive(Debug)]
pub struct S3Refused {
    client: LazyClient,
    bucket: String,
}

/// A client that is created by the first call: an intake seldom stores a body, and a client costs memory and start-up time.
#[derive(Debug)]
pub(crate) struct LazyClient {
    config: SdkConfig,
    budget: Budget,
    client: OnceLock<Client>,
}

impl LazyClient {
    pub(crate) const fn new(config: SdkConfig, budget: Budget) -> Self {
        Self { config, budget, client: OnceLock::new() }
    }

    pub(crate) fn get(&self) -> &Client {
        self.client.get_or_init(|| {
            let config = Builder::from(&self.config)
                .timeout_config(self.budget.timeout_config())
                .retry_config(self.budget.retry_config())
                // At a custom endpoint the bucket's name cannot be part of the host name.
                .force_path_style(self.is_at_another_address())
                .build();
            Client::from_conf(config)
        })
    }

    fn is_at_another_address(&self) -> bool {
        self.config.endpoint_url().is_some()
            || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some_and(|endpoint| !endpoint.is_empty())
    }
}

impl S3Payloads {
    pub(crate) const fn new(config: SdkConfig, budget: Budget, bucket: String) -> Self {
        Self { client: LazyClient::new(config, budget), bucket }
    }

    fn missing(&self, key: &PayloadKey) -> PortError {
        PortError::of(
            GET,
            format!(
                "the bucket {} holds no object {}; find out whether a lifecycle rule or a person deleted it",
                self.bucket,
                key.as_str()
            ),
        )
        .missing()
    }

    /// Without the permission to list the bucket, S3 also denies access to a missing object.
    fn missing_or_forbidden(&self, key: &PayloadKey, error: &SdkError<GetObjectError>) -> PortError {
        let denied = port_error(GET, error);
        PortError::of(
            GET,
            format!(
                "{} for the object {} of the bucket {}; it is missing, or s3:GetObject is (with s3:ListBucket S3 would say which)",
                denied.message,
                key.as_str(),
                self.bucket
            ),
        )
        .missing()
    }
}

impl PayloadReader for S3Payloads {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        let object = match self.client.get().get_object().bucket(&self.bucket).key(key.as_str()).send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                return Err(self.missing(key));
            }
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 403) => {
                return Err(self.missing_or_forbidden(key, &error));
            }
            Err(error) => return Err(port_error(GET, &error)),
        };
        let bytes = object.body.collect().await.map_err(|error| PortError::new(GET, &error))?;
        Ok(bytes.into_bytes())
    }
}

impl Payloads for S3Payloads {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        self.client
            .get()
            .put_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .content_type("application/octet-stream")
            .body(bytes.into())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| port_error(PUT, &error))
    }
}

impl S3Refused {
    pub(crate) const fn new(config: SdkConfig, budget: Budget, bucket: String) -> Self {
        Self { client: LazyClient::new(config, budget), bucket }
    }
}

impl RefusedStore for S3Refused {
    async fn put_new(&self, key: &str, document: Bytes) -> Result<PutNew, PortError> {
        let put = self
            .client
            .get()
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type("application/json")
            .body(document.into());
        match put.send().await {
            Ok(_) => Ok(PutNew::Written),
            // 409 when another write to the place is under way.
            // Source: "How to prevent object overwrites with conditional writes" in the S3 user guide.
            Err(error)
                if error.raw_response().is_some_and(|response| [409, 412].contains(&response.status().as_u16())) =>
            {
                Ok(PutNew::Taken)
            }
            Err(error) => Err(port_error(PUT, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_service::{Reply, TestService};

    fn payloads(service: &TestService) -> S3Payloads {
        service.clients().payloads("the-bucket".to_owned())
    }

    fn key() -> PayloadKey {
        PayloadKey::new("deliveries/machnet/2026/11/21/id".to_owned())
    }

    fn answer(status: u16, body: &str) -> Reply {
        Reply::Answer { status, body: body.to_owned() }
    }

    #[tokio::test]
    async fn the_client_is_created_by_the_first_call() {
        let service = TestService::replying(&[answer(200, "")]);
        let payloads = payloads(&service);
        assert!(payloads.client.client.get().is_none());
        payloads.put(&key(), Bytes::from_static(b"body")).await.unwrap();
        assert!(payloads.client.client.get().is_some());
    }

    #[tokio::test]
    async fn a_payload_is_put_under_its_key_byte_for_byte() {
        let service = TestService::replying(&[answer(200, "")]);
        let bytes = Bytes::from_static(b"\0\xff any bytes");
        payloads(&service).put(&key(), bytes.clone()).await.unwrap();
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(request.line, "PUT /the-bucket/deliveries/machnet/2026/11/21/id?x-id=PutObject");
        assert_eq!(request.body, bytes);
    }

    #[tokio::test]
    async fn bytes_are_fetched_from_their_key() {
        let service = TestService::replying(&[answer(200, "any bytes")]);
        assert_eq!(payloads(&service).get(&key()).await.unwrap(), Bytes::from_static(b"any bytes"));
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(request.line, "GET /the-bucket/deliveries/machnet/2026/11/21/id?x-id=GetObject");
    }

    #[tokio::test]
    async fn a_missing_object_is_an_error_that_names_bucket_and_key() {
        let missing = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";
        let error =
            payloads(&TestService::replying(&[answer(404, missing)])).get(&key()).await.unwrap_err().to_string();
        assert!(
            error.starts_with(
                "s3 GetObject failed: the bucket the-bucket holds no object deliveries/machnet/2026/11/21/id;"
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_object_that_may_be_missing_or_forbidden_is_an_error_that_says_both() {
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let error = payloads(&TestService::replying(&[answer(403, denied)])).get(&key()).await.unwrap_err().to_string();
        assert!(error.contains("AccessDenied: Access Denied (HTTP status 403)"), "{error}");
        assert!(error.contains("deliveries/machnet/2026/11/21/id"), "{error}");
        assert!(error.contains("s3:ListBucket"), "{error}");
    }

    #[tokio::test]
    async fn a_throttled_put_is_retried() {
        let slow_down = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        let service = TestService::replying(&[answer(503, slow_down), answer(200, "")]);
        payloads(&service).put(&key(), Bytes::from_static(b"body")).await.unwrap();
        assert_eq!(service.received().len(), 2);
    }

    fn refused(service: &TestService) -> S3Refused {
        service.clients().refused("the-bucket".to_owned())
    }

    #[tokio::test]
    async fn a_refused_request_is_put_where_nothing_is_yet() {
        let service = TestService::replying(&[answer(200, "")]);
        let put = refused(&service).put_new("refused/machnet/2026-11-21T09/007", Bytes::from_static(b"{}")).await;
        assert_eq!(put.unwrap(), PutNew::Written);
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(request.line, "PUT /the-bucket/refused/machnet/2026-11-21T09/007?x-id=PutObject");
        assert_eq!((request.header("if-none-match"), &request.body[..]), (Some("*"), &b"{}"[..]));
    }

    #[tokio::test]
    async fn a_place_that_is_taken_or_being_taken_is_not_an_error() {
        for (status, code) in [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")] {
            let service = TestService::replying(&[answer(status, &format!("<Error><Code>{code}</Code></Error>"))]);
            let put = refused(&service).put_new("refused/machnet/2026-11-21T09/007", Bytes::new()).await;
            assert_eq!((put.unwrap(), service.received().len()), (PutNew::Taken, 1));
        }
    }

    #[tokio::test]
    async fn a_refused_request_is_put_once_whatever_the_answer_is() {
        let slow_down = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        for reply in [answer(503, slow_down), answer(403, "<Error><Code>AccessDenied</Code></Error>"), Reply::Hang] {
            let service = TestService::replying(&[reply]);
            let started = std::time::Instant::now();
            refused(&service).put_new("refused/machnet/2026-11-21T09/007", Bytes::new()).await.unwrap_err();
            assert_eq!(service.received().len(), 1);
            assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
        }
    }
}
