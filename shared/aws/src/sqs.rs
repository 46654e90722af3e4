//! The queue on SQS.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry,
};
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue::{BatchQueue, Queue};
use intake_pipeline::queue_message::QueueMessage;

use crate::port_error::{message_without_quotations, port_error};

/// The message attribute of a delivery that is released from quarantine. The dead-letter queue keeps it.
pub const RELEASE_ATTRIBUTE: &str = "intake-release";

const SEND_MESSAGE: &str = "sqs SendMessage";
const SEND_MESSAGE_BATCH: &str = "sqs SendMessageBatch";

/// A standard queue of SQS.
///
/// The provider's name is the message group: on a standard queue it does not order anything and lets SQS keep one noisy
/// provider from delaying the others (fair queues). No message attributes are sent, because they count towards the 1 MiB; except
/// with a release from quarantine, whose message is small.
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
    async fn send(&self, document: &QueueMessage) -> Result<(), PortError> {
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_group_id(document.group())
            .message_body(document.text())
            .set_message_attributes(attributes(document)?)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| port_error(SEND_MESSAGE, &error))
    }

    async fn connect(&self) -> Result<(), PortError> {
        self.check().await
    }
}

impl BatchQueue for SqsQueue {
    async fn check(&self) -> Result<(), PortError> {
        self.client
            .get_queue_attributes()
            .queue_url(&self.queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| port_error("sqs GetQueueAttributes", &error))
    }

    /// An entry is accepted only if the answer says so.
    async fn send_batch(&self, documents: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let entries = documents
            .iter()
            .enumerate()
            .map(|(index, document)| {
                SendMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message_group_id(document.group())
                    .message_body(document.text())
                    .set_message_attributes(attributes(document)?)
                    .build()
                    .map_err(|error| PortError::new(SEND_MESSAGE_BATCH, &error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let answer = self
            .client
            .send_message_batch()
            .queue_url(&self.queue_url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| port_error(SEND_MESSAGE_BATCH, &error))?;
        let result = |index: usize| {
            let id = index.to_string();
            if answer.successful().iter().any(|entry| entry.id() == id) {
                return Ok(());
            }
            Err(answer.failed().iter().find(|entry| entry.id() == id).map_or_else(
                || PortError::of(SEND_MESSAGE_BATCH, "the answer does not mention the entry").undecided(),
                refused_entry,
            ))
        };
        Ok((0..documents.len()).map(result).collect())
    }
}

fn attributes(message: &QueueMessage) -> Result<Option<HashMap<String, MessageAttributeValue>>, PortError> {
    if !message.is_release() {
        return Ok(None);
    }
    let value = MessageAttributeValue::builder().data_type("String").string_value("true").build();
    let value = value.map_err(|error| PortError::new(SEND_MESSAGE, &error))?;
    Ok(Some(HashMap::from([(RELEASE_ATTRIBUTE.to_owned(), value)])))
}

fn refused_entry(entry: &BatchResultErrorEntry) -> PortError {
    let message = entry.message().map(message_without_quotations).unwrap_or_default();
    PortError::of(SEND_MESSAGE_BATCH, format!("{}: {message}", entry.code()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use intake_providers::delivery::DeliveryId;
    use intake_providers::machnet::Machnet;
    use intake_providers::timestamp::Timestamp;
    use intake_simulator::machnet::{Key, secret_text};
    use serde_json::json;

    use super::*;
    use crate::test_service::{BUDGET, NoPayloads, Reply, TestService};

    const SECRET: &str = "a test secret of thirty-two bytes";
    const BODY: &str = r#"{"what":"nobody else may read this"}"#;

    async fn document() -> QueueMessage {
        let body = Bytes::from_static(BODY.as_bytes());
        let signed = Key::new(SECRET).unwrap().sign(body, None);
        let secret = secret_text(&[("main", SECRET)]).unwrap();
        let id = DeliveryId::new(Timestamp::EPOCH, [7; 10]);
        let delivery = signed.verified::<Machnet>(&secret, id, Timestamp::EPOCH).unwrap();
        QueueMessage::prepare(&delivery, &NoPayloads).await.unwrap()
    }

    async fn send_to(service: &TestService) -> Result<(), PortError> {
        service.clients().queue("http://queue.test/1/deliveries".to_owned()).send(&document().await).await
    }

    #[tokio::test]
    async fn a_message_is_sent_unchanged_in_the_providers_group_and_without_attributes() {
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
    async fn a_failure_of_the_service_is_retried() {
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
    async fn a_rejected_message_is_not_retried() {
        let rejection =
            json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."});
        let service = TestService::replying(&[Reply::json(400, &rejection)]);
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
            let rejection = json!({"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": message});
            let service = TestService::replying(&[Reply::json(400, &rejection)]);
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
    async fn a_service_that_hangs_is_cut_off_at_the_operations_timeout() {
        let service = TestService::replying(&[Reply::Hang]);
        let started = Instant::now();
        let error = send_to(&service).await.unwrap_err().to_string();
        let duration = started.elapsed();
        assert!(duration >= BUDGET.operation && duration < BUDGET.operation * 2, "{duration:?}");
        assert!(error.contains("timed out") || error.contains("timeout"), "{error}");
        assert!(service.received().len() >= 2, "an attempt that hangs gives way to another");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_is_replaced_by_another() {
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

    async fn send_batch_to(service: &TestService, count: usize) -> Result<Vec<Result<(), PortError>>, PortError> {
        let documents = vec![document().await; count];
        service.clients().queue("http://queue.test/1/deliveries".to_owned()).send_batch(&documents).await
    }

    #[tokio::test]
    async fn a_batch_names_each_message_and_its_group() {
        let successful: Vec<_> = ["0", "1"].map(|id| json!({"Id": id, "MessageId": id, "MD5OfMessageBody": ""})).into();
        let service = TestService::replying(&[Reply::json(200, &json!({"Successful": successful, "Failed": []}))]);
        assert!(send_batch_to(&service, 2).await.unwrap().iter().all(Result::is_ok));
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        let entry = |id: &str, text: &str| json!({"Id": id, "MessageBody": text, "MessageGroupId": "machnet"});
        let text = document().await.text().to_owned();
        assert_eq!(
            request.json(),
            json!({
                "QueueUrl": "http://queue.test/1/deliveries",
                "Entries": [entry("0", &text), entry("1", &text)],
            })
        );
    }

    #[tokio::test]
    async fn only_the_entries_that_the_answer_calls_successful_are_accepted() {
        let message = format!("Value ({BODY}) is invalid");
        let answer = json!({
            "Successful": [{"Id": "2", "MessageId": "m", "MD5OfMessageBody": ""}],
            "Failed": [{"Id": "0", "Code": "InvalidMessageContents", "SenderFault": true, "Message": message}],
        });
        let results = send_batch_to(&TestService::replying(&[Reply::json(200, &answer)]), 3).await.unwrap();
        let [refused, unmentioned, accepted] = &results[..] else { panic!("three results") };
        let refused = refused.as_ref().unwrap_err().to_string();
        assert_eq!(refused, "sqs SendMessageBatch failed: InvalidMessageContents: Value …");
        assert!(unmentioned.as_ref().unwrap_err().may_have_taken_effect());
        assert!(accepted.is_ok());
    }

    #[tokio::test]
    async fn a_batch_that_is_rejected_as_a_whole_is_one_error() {
        let rejection = json!({"__type": "com.amazonaws.sqs#BatchRequestTooLong", "message": "Too long."});
        let error = send_batch_to(&TestService::replying(&[Reply::json(400, &rejection)]), 2).await.unwrap_err();
        assert!(error.to_string().contains("BatchRequestTooLong: Too long."), "{error}");
    }

    #[tokio::test]
    async fn a_failure_of_the_service_itself_leaves_open_what_became_of_the_call() {
        for (status, is_open) in [(400, false), (403, false), (500, true), (503, true)] {
            let answer = json!({"__type": "com.amazonaws.sqs#SomeException", "message": "sorry"});
            let error = send_batch_to(&TestService::replying(&[Reply::json(status, &answer)]), 1).await.unwrap_err();
            assert_eq!(error.may_have_taken_effect(), is_open, "{status}: {error}");
        }
    }

    #[tokio::test]
    async fn a_queue_that_is_connected_to_has_been_asked_for_an_attribute() {
        let service = TestService::replying(&[Reply::json(200, &json!({"Attributes": {"QueueArn": "arn"}}))]);
        Queue::connect(&service.clients().queue("http://queue.test/1/deliveries".to_owned())).await.unwrap();
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(request.json()["AttributeNames"], json!(["QueueArn"]));
    }

    #[tokio::test]
    async fn a_probe_asks_the_queue_for_an_attribute() {
        let service = TestService::replying(&[Reply::json(200, &json!({"Attributes": {"QueueArn": "arn"}}))]);
        service.clients().queue("http://queue.test/1/deliveries".to_owned()).check().await.unwrap();
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(
            request.json(),
            json!({"QueueUrl": "http://queue.test/1/deliveries", "AttributeNames": ["QueueArn"]})
        );
        let missing = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "No such queue."});
        let service = TestService::replying(&[Reply::json(400, &missing)]);
        let error = service.clients().queue("http://queue.test/1/gone".to_owned()).check().await.unwrap_err();
        assert!(error.to_string().contains("QueueDoesNotExist"), "{error}");
    }
}
