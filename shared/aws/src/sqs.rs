//! The queue on SQS.

use aws_sdk_sqs::Client;
use pipeline::document::OutboundDocument;
use pipeline::ports::{PortError, Queue};

use crate::port_error::port_error;

/// A standard queue of SQS.
///
/// The provider's name is the message group: on a standard queue that orders nothing and lets SQS keep one noisy provider
/// from delaying the others (fair queues). No message attributes are sent; they would count into the 1 MiB.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    queue_url: String,
}

impl SqsQueue {
    pub(crate) const fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }
}

impl Queue for SqsQueue {
    async fn send(&self, document: &OutboundDocument) -> Result<(), PortError> {
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_group_id(document.provider().as_str())
            .message_body(document.text())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| port_error("sqs SendMessage", &error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use http::HeaderMap;
    use providers::delivery::{DeliveryId, VerifiedDelivery};
    use providers::machnet::Machnet;
    use providers::request::UnverifiedRequest;
    use providers::signature::hmac_sha256::HmacSecret;
    use providers::timestamp::Timestamp;
    use providers::webhook::Webhook as _;
    use serde_json::json;

    use super::*;
    use crate::test_service::{BUDGET, NoPayloads, Reply, TestService};

    const SECRET: &str = "a test secret of thirty-two bytes";
    const BODY: &str = r#"{"what":"nobody else may read this"}"#;

    async fn document() -> OutboundDocument {
        let body = Bytes::from_static(BODY.as_bytes());
        let proof = HmacSecret::new(SECRET).unwrap().sign(&body);
        let keys = Machnet::read_keys(&json!({"keys": [{"label": "main", "secret": SECRET}]}).to_string()).unwrap();
        let request = UnverifiedRequest::new(HeaderMap::new(), body);
        let request = Machnet::verify(request, &proof, &keys.keys, Timestamp::EPOCH).unwrap();
        let delivery = VerifiedDelivery::new(request, DeliveryId::new(Timestamp::EPOCH, [7; 10]), Timestamp::EPOCH);
        OutboundDocument::prepare(&delivery, &NoPayloads).await.unwrap()
    }

    async fn send_to(service: &TestService) -> Result<(), PortError> {
        service.clients().queue("http://queue.test/1/deliveries".to_owned()).send(&document().await).await
    }

    #[tokio::test]
    async fn a_document_is_sent_as_it_is_in_the_providers_message_group_and_without_attributes() {
        let service = TestService::replying(&[Reply::json(200, &json!({"MessageId": "m"}))]);
        send_to(&service).await.unwrap();
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(
            request.json(),
            json!({
                "QueueUrl": "http://queue.test/1/deliveries",
                "MessageBody": document().await.text(),
                "MessageGroupId": "machnet",
            })
        );
    }

    #[tokio::test]
    async fn a_failure_of_the_service_is_tried_again() {
        let failure = Reply::json(500, &json!({"__type": "com.amazonaws.sqs#InternalFailure"}));
        let service = TestService::replying(&[failure.clone(), failure, Reply::json(200, &json!({"MessageId": "m"}))]);
        send_to(&service).await.unwrap();
        assert_eq!(service.received().len(), 3);
    }

    #[tokio::test]
    async fn a_lasting_failure_of_the_service_is_an_error_that_names_it() {
        let failure = json!({"__type": "com.amazonaws.sqs#InternalFailure", "message": "we are\nsorry"});
        let service = TestService::replying(&[Reply::json(500, &failure)]);
        let error = send_to(&service).await.unwrap_err();
        assert_eq!(error.to_string(), "sqs SendMessage failed: InternalFailure: we are sorry (HTTP status 500)");
        assert_eq!(service.received().len(), usize::try_from(BUDGET.attempts).unwrap());
    }

    #[tokio::test]
    async fn a_refusal_is_not_tried_again() {
        let refusal =
            json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."});
        let service = TestService::replying(&[Reply::json(400, &refusal)]);
        let error = send_to(&service).await.unwrap_err().to_string();
        assert!(error.contains("QueueDoesNotExist: The specified queue does not exist. (HTTP status 400)"), "{error}");
        assert_eq!(service.received().len(), 1);
    }

    #[tokio::test]
    async fn an_error_does_not_repeat_the_body_that_the_service_quotes() {
        let text = document().await.text().to_owned();
        for message in [
            format!("Value ({text}) for parameter MessageBody is invalid."),
            format!("1 validation error detected: Value '{text}' at 'messageBody' failed to satisfy a constraint"),
            format!("Message body: {text}"),
        ] {
            let refusal = json!({"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": message});
            let service = TestService::replying(&[Reply::json(400, &refusal)]);
            let error = send_to(&service).await.unwrap_err().to_string();
            assert!(error.contains("InvalidMessageContents"), "{error}");
            assert!(!error.contains("nobody else"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_an_error_that_does_not_repeat_it() {
        let service =
            TestService::replying(&[Reply::Answer { status: 200, body: "<html>nobody else</html>".to_owned() }]);
        let error = send_to(&service).await.unwrap_err().to_string();
        assert_eq!(error, "sqs SendMessage failed: the answer could not be read (HTTP status 200)");
    }

    #[tokio::test]
    async fn a_service_that_hangs_costs_no_more_than_the_operations_time() {
        let service = TestService::replying(&[Reply::Hang]);
        let started = Instant::now();
        let error = send_to(&service).await.unwrap_err().to_string();
        let duration = started.elapsed();
        assert!(duration >= BUDGET.operation && duration < BUDGET.operation * 2, "{duration:?}");
        assert!(error.contains("timed out") || error.contains("timeout"), "{error}");
        assert!(service.received().len() >= 2, "an attempt that hangs gives way to another");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_gives_way_to_one_that_works() {
        let service = TestService::replying(&[Reply::Hang, Reply::json(200, &json!({"MessageId": "m"}))]);
        send_to(&service).await.unwrap();
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_an_error_that_says_so() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let clients = crate::Clients::at(&format!("http://{closed}"), BUDGET, crate::test_service::CONTENTION);
        let error =
            clients.queue("http://queue.test/1/deliveries".to_owned()).send(&document().await).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("refused"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
