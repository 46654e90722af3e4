//! The event bus on EventBridge.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::ProvideErrorMetadata as _;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use intake_pipeline::port_error::PortError;
use intake_pipeline::publisher::{Bus, BusEntry, Refusal};

use crate::port_error::{message_without_quotations, port_error};

const PUT_EVENTS: &str = "eventbridge PutEvents";

/// Codes of entries that may be put again (EventBridge, `PutEventsResultEntry`). All others stay.
const BUSY: [&str; 4] = ["InternalException", "InternalFailure", "ServiceUnavailable", "ThrottlingException"];

/// Codes of calls to a bus that is not there, or not for this caller (EventBridge, common errors and `PutEvents`).
const MISSING: [&str; 3] = ["AccessDenied", "AccessDeniedException", "ResourceNotFoundException"];

/// An event bus of EventBridge, by its name or ARN.
#[derive(Clone, Debug)]
pub struct EventBridge {
    client: Client,
    bus: String,
}

impl EventBridge {
    pub(crate) const fn new(client: Client, bus: String) -> Self {
        Self { client, bus }
    }
}

impl Bus for EventBridge {
    async fn put(&self, entries: &[BusEntry]) -> Result<Vec<Result<(), Refusal>>, PortError> {
        let entries = entries.iter().map(|entry| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.bus)
                .source(&entry.source)
                .detail_type(&entry.detail_type)
                .detail(&entry.detail)
                .build()
        });
        let answer = self.client.put_events().set_entries(Some(entries.collect())).send().await.map_err(|error| {
            let code = error.code().unwrap_or_default();
            let failed = port_error(PUT_EVENTS, &error);
            if MISSING.contains(&code) { failed.missing() } else { failed }
        })?;
        Ok(answer.entries().iter().map(result).collect())
    }
}

/// An entry is taken only if it has got an id.
fn result(entry: &PutEventsResultEntry) -> Result<(), Refusal> {
    let code = match (entry.event_id(), entry.error_code()) {
        (Some(_), None) => return Ok(()),
        (_, Some(code)) => code,
        (None, None) => {
            let error = PortError::of(PUT_EVENTS, "the answer has neither an id nor an error for the entry");
            return Err(Refusal::Busy(error.undecided()));
        }
    };
    let message = entry.error_message().map(message_without_quotations).unwrap_or_default();
    let error = PortError::of(PUT_EVENTS, format!("{code}: {message}"));
    Err(if BUSY.contains(&code) { Refusal::Busy(error) } else { Refusal::Invalid(error) })
}

#[cfg(test)]
mod tests {
    use intake_pipeline::port_error::CallFailure;
    use serde_json::json;

    use super::*;
    use crate::test_service::{BUDGET, Reply, TestService};

    async fn put_to(service: &TestService, count: usize) -> Result<Vec<Result<(), Refusal>>, PortError> {
        let entry = BusEntry {
            source: "webhook-intake.machnet".to_owned(),
            detail_type: "machnet.done".to_owned(),
            detail: r#"{"data":{"n": 1.10}}"#.to_owned(),
        };
        service.clients().event_bus("events".to_owned()).put(&vec![entry; count]).await
    }

    #[tokio::test]
    async fn entries_are_put_on_the_bus_to_the_byte() {
        let service = TestService::replying(&[Reply::json(200, &json!({"Entries": [{"EventId": "e"}]}))]);
        assert!(put_to(&service, 1).await.unwrap().iter().all(Result::is_ok));
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        let entry = json!({
            "EventBusName": "events",
            "Source": "webhook-intake.machnet",
            "DetailType": "machnet.done",
            "Detail": r#"{"data":{"n": 1.10}}"#,
        });
        assert_eq!(request.json(), json!({"Entries": [entry]}));
    }

    #[tokio::test]
    async fn each_entry_is_taken_or_refused_for_itself_and_only_some_are_worth_another_call() {
        let entries = [
            json!({"EventId": "e"}),
            json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "Slow down."}),
            json!({"ErrorCode": "InternalFailure"}),
            json!({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed: {\"what\":\"secret\"}"}),
            json!({}),
        ];
        let answer = json!({"FailedEntryCount": 4, "Entries": entries});
        let results = put_to(&TestService::replying(&[Reply::json(200, &answer)]), 5).await.unwrap();
        let [taken, throttled, failed, malformed, unknown] = &results[..] else { panic!("{results:?}") };
        assert!(taken.is_ok());
        for (result, expected) in [(throttled, "ThrottlingException: Slow down."), (failed, "InternalFailure: ")] {
            let Err(Refusal::Busy(error)) = result else { panic!("{result:?}") };
            assert_eq!(error.message, expected);
        }
        let Err(Refusal::Invalid(error)) = malformed else { panic!("{malformed:?}") };
        assert_eq!(error.message, "MalformedDetail: Detail is malformed: …");
        let Err(Refusal::Busy(error)) = unknown else { panic!("{unknown:?}") };
        assert!(error.may_have_taken_effect());
    }

    #[tokio::test]
    async fn a_bus_that_is_not_there_or_not_for_us_is_called_missing() {
        for code in MISSING {
            let denied = Reply::json(400, &json!({"__type": code, "message": "not authorized"}));
            let service = TestService::replying(&[denied]);
            let error = put_to(&service, 1).await.unwrap_err();
            assert_eq!(error.failure, CallFailure::Missing, "{error}");
            assert_eq!(service.received().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_call_that_fails_is_tried_again_and_then_an_error() {
        let failure = Reply::json(500, &json!({"__type": "InternalException", "message": "sorry"}));
        let service = TestService::replying(&[failure]);
        let error = put_to(&service, 1).await.unwrap_err();
        assert_eq!(error.to_string(), "eventbridge PutEvents failed: InternalException: sorry (HTTP status 500)");
        assert_eq!(service.received().len(), usize::try_from(BUDGET.attempts).unwrap());
    }
}
