use serde_json::{Value, json};

use super::*;
use crate::test_service::{Received, Reply, TestService};

/// Lambda with one function and one event source mapping, whose answers depend on the path.
fn lambda(answer: impl Fn(&str) -> Option<Value> + Send + Sync + 'static) -> TestService {
    TestService::answering(move |_, request: &Received| {
        let path = request.line.split(' ').nth(1).unwrap();
        answer(path).map_or_else(
            || {
                Reply::json(
                    404,
                    &json!({"Type": "User", "Message": "Function not found", "__type": "ResourceNotFoundException"}),
                )
            },
            |body| Reply::json(200, &body),
        )
    })
}

const MAPPING_ID: &str = "14e0db71-xmpl";

fn with_function(service: &TestService) -> Stack {
    let function = ("MachnetFunction", "hooks-MachnetFunction", "AWS::Lambda::Function");
    let alias = ("MachnetFunctionAliaslive", "arn:hooks-MachnetFunction:live", "AWS::Lambda::Alias");
    Stack::of(service.config(), &[function, alias])
}

fn with_mapping(service: &TestService) -> Stack {
    let mapping = ("ProcessorFunctionDeliveries", MAPPING_ID, "AWS::Lambda::EventSourceMapping");
    Stack::of(service.config(), &[mapping, ("Queue", "http://queue.test/1/deliveries", "AWS::SQS::Queue")])
}

const LATEST: &str = "/2015-03-31/functions/hooks-MachnetFunction/configuration";

async fn function_of(answer: impl Fn(&str) -> Option<Value> + Send + Sync + 'static) -> DeployedFunction {
    let service = lambda(answer);
    let mut functions = with_function(&service).functions().await.unwrap();
    assert_eq!(functions.len(), 1);
    functions.remove(0)
}

#[tokio::test]
async fn a_function_is_known_by_its_latest_change_and_by_the_version_that_its_alias_names() {
    let found = function_of(|path| {
        Some(if path == LATEST {
            json!({"Version": "$LATEST", "State": "Active", "LastUpdateStatus": "Failed",
                   "LastUpdateStatusReason": "The role is missing"})
        } else {
            assert_eq!(path, format!("{LATEST}?Qualifier=live"));
            json!({"Version": "7", "State": "Inactive", "LastUpdateStatus": "Successful"})
        })
    })
    .await;
    assert_eq!(
        found,
        DeployedFunction {
            logical_id: "MachnetFunction".to_owned(),
            name: "hooks-MachnetFunction".to_owned(),
            latest: Some(Update::Failed { reason: "The role is missing".to_owned() }),
            live: Some(Version { number: "7".to_owned(), readiness: Readiness::Inactive }),
        }
    );
}

#[tokio::test]
async fn a_function_or_an_alias_that_is_gone_is_told_apart() {
    assert_eq!(function_of(|_| None).await.latest, None);
    let without_alias = function_of(|path| (path == LATEST).then(|| json!({"LastUpdateStatus": "Successful"}))).await;
    assert_eq!((without_alias.latest, without_alias.live), (Some(Update::Succeeded), None));
}

#[tokio::test]
async fn a_function_that_the_stack_has_no_alias_of_is_known_by_its_latest_code() {
    let service = lambda(|path| {
        assert_eq!(path, LATEST, "no alias is asked for");
        Some(json!({"Version": "$LATEST", "State": "Active", "LastUpdateStatus": "Successful"}))
    });
    let function = ("MachnetFunction", "hooks-MachnetFunction", "AWS::Lambda::Function");
    let found = Stack::of(service.config(), &[function]).functions().await.unwrap();
    assert_eq!(found[0].live, Some(Version { number: "$LATEST".to_owned(), readiness: Readiness::Active }));
}

#[tokio::test]
async fn a_version_that_cannot_be_invoked_says_why() {
    for (state, reason, readiness) in [
        ("Active", Value::Null, Readiness::Active),
        ("Pending", json!("The function is being created."), Readiness::Pending),
        ("Failed", json!("no subnet"), Readiness::Failed { reason: "Failed: no subnet".to_owned() }),
        ("Deactivated", Value::Null, Readiness::Failed { reason: "Deactivated".to_owned() }),
    ] {
        let found = function_of(move |_| Some(json!({"Version": "7", "State": state, "StateReason": reason}))).await;
        assert_eq!(found.live.unwrap().readiness, readiness);
    }
}

#[tokio::test]
async fn an_event_source_has_its_state_and_settings_or_is_gone() {
    let path = format!("/2015-03-31/event-source-mappings/{MAPPING_ID}");
    let asked = path.clone();
    let service = lambda(move |found| {
        assert_eq!(found, asked);
        Some(json!({
            "UUID": MAPPING_ID, "State": "Disabled", "FunctionArn": "arn:aws:lambda:eu-west-1:1:function:f:live",
            "LastProcessingResult": "PROBLEM: Function call failed", "BatchSize": 10,
            "ScalingConfig": {"MaximumConcurrency": 2}, "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }))
    });
    let sources = with_mapping(&service).event_sources().await.unwrap();
    let mapping = Mapping {
        state: "Disabled".to_owned(),
        function_arn: "arn:aws:lambda:eu-west-1:1:function:f:live".to_owned(),
        last_result: Some("PROBLEM: Function call failed".to_owned()),
        batch_size: Some(10),
        maximum_concurrency: Some(2),
        reports_failures: true,
    };
    let expected = |mapping| EventSource {
        logical_id: "ProcessorFunctionDeliveries".to_owned(),
        uuid: MAPPING_ID.to_owned(),
        mapping,
        alias: None,
        is_by_hand: false,
    };
    assert_eq!(sources, [expected(Some(mapping))]);
    let sources = with_mapping(&lambda(|_| None)).event_sources().await.unwrap();
    assert_eq!(sources, [expected(None)]);
}

#[tokio::test]
async fn one_that_was_made_by_hand_takes_the_place_of_the_stacks_own_that_does_not_work() {
    let with_state = |state: &str| json!({"State": state, "LastProcessingResult": "OK"});
    for (own, others, expected) in [
        ("Enabled", vec![], MAPPING_ID),
        ("Disabled", vec![("by-hand", "Enabled")], "by-hand"),
        ("Disabled", vec![("by-hand", "Disabled")], MAPPING_ID),
    ] {
        let service = lambda(move |path| {
            let listed = "/2015-03-31/event-source-mappings?FunctionName=hooks-ProcessorFunction%3Alive";
            if path.replace("-mappings/?", "-mappings?") == listed {
                assert_ne!(own, "Enabled", "nothing is listed without need");
                let ids = [MAPPING_ID].into_iter().chain(others.iter().map(|(id, _)| *id));
                return Some(json!({"EventSourceMappings": ids.map(|id| json!({"UUID": id})).collect::<Vec<_>>()}));
            }
            let id = path.strip_prefix("/2015-03-31/event-source-mappings/").unwrap();
            let other = others.iter().find(|(other, _)| *other == id);
            Some(with_state(other.map_or(own, |(_, state)| state)))
        });
        let mapping = ("ProcessorFunctionDeliveries", MAPPING_ID, "AWS::Lambda::EventSourceMapping");
        let function = ("ProcessorFunction", "hooks-ProcessorFunction", "AWS::Lambda::Function");
        let alias = ("ProcessorFunctionAliaslive", "arn:hooks-ProcessorFunction:live", "AWS::Lambda::Alias");
        let sources = Stack::of(service.config(), &[mapping, function, alias]).event_sources().await.unwrap();
        assert_eq!(sources[0].uuid, expected);
        assert_eq!(sources[0].is_by_hand, expected != MAPPING_ID);
    }
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let service = TestService::replying(&[Reply::json(
        403,
        &json!({"__type": "AccessDeniedException", "Message": "not authorized to perform: lambda:GetFunctionConfiguration"}),
    )]);
    let error = with_function(&service).functions().await.unwrap_err().to_string();
    assert!(error.contains("lambda:GetFunctionConfiguration"), "{error}");
}
