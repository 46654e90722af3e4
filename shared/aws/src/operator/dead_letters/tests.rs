use intake_pipeline::dead_letters::Failure;
use intake_providers::timestamp::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::test_service::{Received, Reply, TestService};

const SOURCE: &str = "http://queue.test/1/deliveries";
const DEAD: &str = "http://queue.test/1/dead";
const FAILED_AT: i64 = 1_796_000_000_123;

fn dead_letters(service: &TestService) -> StackDeadLetters {
    let clients = service.clients();
    StackDeadLetters {
        client: Client::new(clients.config()),
        queue_url: SOURCE.to_owned(),
        dead_letter_queue_url: DEAD.to_owned(),
        failures: FailureLog::of(aws_sdk_cloudwatchlogs::Client::new(clients.config())),
        poll: Duration::from_millis(1),
    }
}

fn message(id: &str, sent_at: i64, more: Value) -> Value {
    let mut message = json!({
        "MessageId": id, "ReceiptHandle": format!("receipt-{id}"), "Body": format!("body-{id}"),
        "Attributes": {"SentTimestamp": sent_at.to_string(), "ApproximateReceiveCount": "26", "MessageGroupId": "machnet"},
    });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

fn received(messages: &[Value]) -> Reply {
    Reply::json(200, &json!({"Messages": messages}))
}

fn nothing() -> Reply {
    Reply::json(200, &json!({}))
}

fn failed(id: &str, at: i64, error: &str) -> Value {
    let line = json!({"level": "ERROR", "message": "record failed", "message_id": id, "error": error});
    json!({"timestamp": at, "message": line.to_string()})
}

/// The requests without those that only look.
fn targets(requests: &[Received]) -> Vec<String> {
    requests.iter().filter_map(|request| request.header("x-amz-target")).map(str::to_owned).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_oldest_first_with_their_last_failure_and_shown_again() {
    let released = json!({"MessageAttributes": {"intake-release": {"DataType": "String", "StringValue": "true"}}});
    let other = json!({"timestamp": FAILED_AT, "message": "a line of Lambda"});
    let service = TestService::replying(&[
        received(&[message("b", 2_000, released), message("a", 1_000, json!({}))]),
        nothing(),
        Reply::json(200, &json!({"Successful": [], "Failed": []})),
        Reply::json(
            200,
            &json!({
                "events": [failed("a", FAILED_AT, "last"), failed("a", FAILED_AT - 5, "first"), failed("c", FAILED_AT, "another"), other],
            }),
        ),
    ]);
    let dead_letters = dead_letters(&service);
    let mut found = dead_letters.list(10).await.unwrap();
    dead_letters.find_failures(&mut found.dead_letters).await.unwrap();
    let at = Timestamp::from_unix_milliseconds(FAILED_AT).unwrap();
    let letter = |id: &str, sent_at, is_release, failure| DeadLetter {
        message_id: id.to_owned(),
        body: format!("body-{id}"),
        receive_count: 26,
        is_release,
        sent_at: Timestamp::from_unix_milliseconds(sent_at).ok(),
        failure,
    };
    let failure = Some(Failure { at, error: "last".to_owned() });
    assert_eq!(found.dead_letters, [letter("a", 1_000, false, failure), letter("b", 2_000, true, None)]);
    assert!(!found.is_partial);
    assert!(found.remarks[0].contains("each receive counts") && found.remarks.len() == 1, "{:?}", found.remarks);

    let requests = service.received();
    let [first, _, shown, searched] = &requests[..] else { panic!("{:?}", targets(&requests)) };
    assert_eq!(
        first.json(),
        json!({
            "QueueUrl": DEAD, "MaxNumberOfMessages": 10, "VisibilityTimeout": 30, "WaitTimeSeconds": 2,
            "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"],
        })
    );
    let shown = shown.json();
    let shown: Vec<_> = shown["Entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["ReceiptHandle"], &entry["VisibilityTimeout"]))
        .collect();
    assert_eq!(shown, [(&json!("receipt-b"), &json!(0)), (&json!("receipt-a"), &json!(0))]);
    let searched = searched.json();
    assert_eq!((&searched["logGroupName"], &searched["startTime"]), (&json!("functions"), &json!(1_000)));
    let pattern = r#"{ ($.message = "record failed") && (($.message_id = "a") || ($.message_id = "b")) }"#;
    assert_eq!(searched["filterPattern"], pattern);
}

#[tokio::test]
async fn a_queue_that_cannot_be_changed_is_a_remark_and_a_log_that_cannot_be_read_an_error() {
    let denied = |kind: &str| Reply::json(400, &json!({"__type": kind, "message": "no"}));
    let service = TestService::replying(&[
        received(&[message("a", 1_000, json!({}))]),
        denied("com.amazonaws.sqs#AccessDenied"),
        denied("AccessDeniedException"),
    ]);
    let dead_letters = dead_letters(&service);
    let mut found = dead_letters.list(1).await.unwrap();
    assert!(found.is_partial, "there may be more than were asked for");
    let [_, hidden] = &found.remarks[..] else { panic!("{:?}", found.remarks) };
    assert!(hidden.contains("sqs:ChangeMessageVisibility failed"), "{hidden}");
    let error = dead_letters.find_failures(&mut found.dead_letters).await.unwrap_err().to_string();
    assert!(error.contains("logs FilterLogEvents failed: AccessDeniedException"), "{error}");
}

#[tokio::test]
async fn only_what_is_wanted_is_moved_sent_before_it_is_deleted_and_with_everything_that_it_had() {
    let attributes = json!({"intake-release": {"DataType": "String", "StringValue": "true"}});
    let service = TestService::replying(&[
        received(&[message("other", 1, json!({})), message("a", 2, json!({"MessageAttributes": attributes}))]),
        Reply::json(200, &json!({"MessageId": "new"})),
        nothing(),
        Reply::json(200, &json!({"Successful": [], "Failed": []})),
    ]);
    let moved = dead_letters(&service).redrive(&["a".to_owned()], None).await.unwrap();
    assert_eq!(moved, ["a"]);
    let requests = service.received();
    assert_eq!(
        targets(&requests),
        ["ReceiveMessage", "SendMessage", "DeleteMessage", "ChangeMessageVisibilityBatch"]
            .map(|name| format!("AmazonSQS.{name}"))
    );
    assert_eq!(
        requests[1].json(),
        json!({"QueueUrl": SOURCE, "MessageBody": "body-a", "MessageGroupId": "machnet", "MessageAttributes": attributes})
    );
    assert_eq!(requests[2].json(), json!({"QueueUrl": DEAD, "ReceiptHandle": "receipt-a"}));
    assert_eq!(requests[3].json()["Entries"][0]["ReceiptHandle"], "receipt-other");
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_is_not_deleted() {
    let refused = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"});
    let service = TestService::replying(&[received(&[message("a", 1, json!({}))]), Reply::json(400, &refused)]);
    let error = dead_letters(&service).redrive(&["a".to_owned()], None).await.unwrap_err().to_string();
    assert!(error.contains("QueueDoesNotExist"), "{error}");
    assert_eq!(targets(&service.received()), ["AmazonSQS.ReceiveMessage", "AmazonSQS.SendMessage"]);
}

#[tokio::test]
async fn the_search_for_a_message_that_is_not_there_ends_when_the_same_ones_come_again() {
    let others = received(&[message("x", 1, json!({})), message("y", 1, json!({}))]);
    let service =
        TestService::replying(&[others.clone(), others, Reply::json(200, &json!({"Successful": [], "Failed": []}))]);
    assert!(dead_letters(&service).redrive(&["gone".to_owned()], None).await.unwrap().is_empty());
    assert!(targets(&service.received()).iter().filter(|target| *target == "AmazonSQS.ReceiveMessage").count() == 2);
}

#[tokio::test]
async fn all_are_moved_by_sqs_itself_at_the_rate_that_was_asked_for() {
    let task = |status: &str, moved: i64| json!({"Results": [{"Status": status, "ApproximateNumberOfMessagesMoved": moved, "FailureReason": "why not"}]});
    let arn = Reply::json(200, &json!({"Attributes": {"QueueArn": "arn:dead"}}));
    let started = Reply::json(200, &json!({"TaskHandle": "t"}));
    let replies = |end: &str| {
        [arn.clone(), started.clone(), Reply::json(200, &task("RUNNING", 3)), Reply::json(200, &task(end, 7))]
    };
    let service = TestService::replying(&replies("COMPLETED"));
    assert_eq!(dead_letters(&service).redrive_all(NonZeroU32::new(20)).await.unwrap(), 7);
    let requests = service.received();
    assert_eq!(requests[1].json(), json!({"SourceArn": "arn:dead", "MaxNumberOfMessagesPerSecond": 20}));

    let service = TestService::replying(&replies("FAILED"));
    let error = dead_letters(&service).redrive_all(NonZeroU32::new(9_999)).await.unwrap_err().to_string();
    assert!(error.contains("the task is FAILED: why not"), "{error}");
    assert_eq!(service.received()[1].json()["MaxNumberOfMessagesPerSecond"], 500);
}
