//! The resync function.

use std::time::Duration;

use intake_aws::{Clients, DynamoResumePoints, SecretsManagerSecrets};
use intake_outbound::{HttpSyncApi, NoClient};
use intake_pipeline::clock::SystemClock;
use intake_pipeline::config::{ConfigProblems, ResyncConfig};
use intake_pipeline::port_error::PortError;
use intake_pipeline::resync::{Resync, RunOutcome, RunReport};
use intake_pipeline::secrets::Secrets as _;
use intake_providers::date::Date;
use intake_providers::nurturecloud::component::ComponentName;
use intake_providers::nurturecloud::resync::{
    BusinessId, Credentials, CredentialsError, EntityId, InvalidPlan, ResyncPlan, SyncCall,
};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deadline::end_by;
use crate::{Error, environment_variable, report, start_telemetry};

/// Share of an invocation's time that is reserved for the call in flight (10 s), for saving the progress twice (8 s each), and
/// for writing the counters.
const MARGIN: Duration = Duration::from_secs(30);

/// Maximum number of calls that a summary lists.
const MAX_LISTED: usize = 50;

/// Runs the resync as a Lambda function, until Lambda ends the process.
///
/// # Errors
/// When Lambda's runtime API is unavailable. Unusable settings fail each invocation.
pub async fn run_resync() -> Result<(), Error> {
    let telemetry = start_telemetry();
    let function = match ResyncConfig::from_environment(environment_variable) {
        Ok(config) => {
            let clients = Clients::for_processor().await;
            let secrets = clients.secrets(config.secret_id.clone());
            let resume_points = clients.resume_points(config.entities_table.clone());
            Ok(Function { config, secrets, resume_points })
        }
        Err(problems) => Err(problems),
    };
    let function = &function;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        let result = match function {
            Ok(function) => function.invoke(&event.payload, &event.context).await,
            Err(problems) => {
                report(problems);
                Err(ResyncFailed::Config(problems.clone()))
            }
        };
        if let Err(error) = &result {
            tracing::error!(%error, "the resync failed");
        }
        // Lambda may freeze the process once the response is sent.
        telemetry.flush();
        result
    }))
    .await
}

/// Why an invocation fails.
#[derive(Debug, thiserror::Error)]
enum ResyncFailed {
    #[error(transparent)]
    Config(ConfigProblems),
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    #[error(transparent)]
    Secret(#[from] PortError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Client(#[from] NoClient),
    #[error("{outcome} ({accepted} accepted, {not_accepted} not accepted, {not_asked} not asked)")]
    Run { outcome: RunOutcome, accepted: usize, not_accepted: usize, not_asked: usize },
}

impl From<ResyncFailed> for Diagnostic {
    fn from(error: ResyncFailed) -> Self {
        Self { error_type: "ResyncFailed".to_owned(), error_message: error.to_string() }
    }
}

struct Function {
    config: ResyncConfig,
    secrets: SecretsManagerSecrets,
    resume_points: DynamoResumePoints,
}

impl Function {
    async fn invoke(&self, payload: &Value, context: &Context) -> Result<Summary, ResyncFailed> {
        let stop_at = end_by(context, MARGIN);
        let plan = plan(&self.config.plan, payload)?;
        // Read each time, so that a rotation needs no deployment.
        let credentials = Credentials::read(self.secrets.fetch().await?.reveal())?;
        let api = HttpSyncApi::new(self.config.base_url.clone(), &credentials)?;
        let service = self.config.base_url.service();
        let resync = Resync::new(api, self.resume_points.clone(), SystemClock, service, self.config.settings);
        summary(resync.run(&plan, Some(stop_at), &|_| {}).await)
    }
}

/// A mistake in a hand-written payload.
#[derive(Debug, thiserror::Error)]
enum InvalidRequest {
    #[error(
        r#"the payload is neither {{"since":"2026-01-01"}} nor {{"business_id":"...","component":"...","ids":["..."]}}: {0}"#
    )]
    Malformed(#[from] serde_json::Error),
    #[error("the payload cannot be used: {0}")]
    Plan(#[from] InvalidPlan),
}

/// The request in a payload. A payload without any member of a request was sent by a schedule.
fn plan(scheduled: &ResyncPlan, payload: &Value) -> Result<ResyncPlan, InvalidRequest> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Everything {
        since: Date,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entities {
        business_id: BusinessId,
        component: ComponentName,
        ids: Vec<EntityId>,
    }
    let has = |members: &[&str]| members.iter().any(|member| payload.get(member).is_some());
    if has(&["business_id", "component", "ids"]) {
        let Entities { business_id, component, ids } = Entities::deserialize(payload)?;
        return Ok(ResyncPlan::entities(&business_id, &component, &ids)?);
    }
    if has(&["since"]) {
        return Ok(scheduled.clone().since(Some(Everything::deserialize(payload)?.since)));
    }
    Ok(scheduled.clone())
}

/// The function's answer.
#[derive(Debug, Serialize)]
struct Summary {
    outcome: &'static str,
    began_at: Option<String>,
    last_complete_run_began_at: Option<String>,
    accepted: usize,
    not_accepted: usize,
    not_asked: usize,
    /// The first of them.
    not_accepted_calls: Vec<ListedCall>,
    /// The first of them.
    not_asked_calls: Vec<ListedCall>,
}

#[derive(Debug, Serialize)]
struct ListedCall {
    business_id: String,
    component: String,
    asked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl From<&SyncCall> for ListedCall {
    fn from(call: &SyncCall) -> Self {
        Self {
            business_id: call.business_id.as_str().to_owned(),
            component: call.component.to_string(),
            asked: call.what.to_string(),
            status: None,
            reason: None,
        }
    }
}

fn summary(report: RunReport) -> Result<Summary, ResyncFailed> {
    let (accepted, not_accepted, not_asked) = (report.accepted, report.not_accepted.len(), report.not_asked.len());
    if report.needs_attention() {
        return Err(ResyncFailed::Run { outcome: report.outcome, accepted, not_accepted, not_asked });
    }
    Ok(Summary {
        outcome: report.outcome.as_str(),
        began_at: report.began_at.map(|at| at.to_string()),
        last_complete_run_began_at: report.last_complete_run_began_at.map(|at| at.to_string()),
        accepted,
        not_accepted,
        not_asked,
        not_accepted_calls: report
            .not_accepted
            .iter()
            .take(MAX_LISTED)
            .map(|refused| ListedCall {
                status: refused.status.map(|status| status.as_u16()),
                reason: Some(refused.reason.as_str()),
                ..ListedCall::from(&refused.call)
            })
            .collect(),
        not_asked_calls: report.not_asked.iter().take(MAX_LISTED).map(ListedCall::from).collect(),
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use intake_pipeline::resync::{NotAccepted, Reason};
    use intake_providers::timestamp::Timestamp;
    use serde_json::json;

    use super::*;

    fn scheduled() -> ResyncPlan {
        ResyncPlan::everything(&["b1".parse().unwrap()], &["contact".parse().unwrap()], None).unwrap()
    }

    fn entities(ids: &[&str]) -> ResyncPlan {
        let ids: Vec<EntityId> = ids.iter().map(|id| id.parse().unwrap()).collect();
        ResyncPlan::entities(&"b2".parse().unwrap(), &"agent".parse().unwrap(), &ids).unwrap()
    }

    #[test]
    fn the_payload_of_a_schedule_starts_the_usual_run() {
        for payload in [
            json!(null),
            json!({}),
            json!("scheduled"),
            json!({"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}),
        ] {
            assert_eq!(plan(&scheduled(), &payload).unwrap(), scheduled(), "{payload}");
        }
    }

    #[test]
    fn a_date_or_single_entities_can_be_asked_for_by_hand() {
        let since = plan(&scheduled(), &json!({"since": "2026-01-01"})).unwrap();
        assert_eq!(since, scheduled().since(Some("2026-01-01".parse().unwrap())));
        let by_id = json!({"business_id": "b2", "component": "Agents", "ids": ["1", "2"]});
        assert_eq!(plan(&scheduled(), &by_id).unwrap(), entities(&["1", "2"]));
    }

    #[test]
    fn a_request_with_a_mistake_is_rejected_and_not_taken_for_a_schedules() {
        for payload in [
            json!({"since": "yesterday"}),
            json!({"since": null}),
            json!({"since": "2026-01-01", "until": "2026-02-01"}),
            json!({"since": "2026-01-01", "component": "agent"}),
            json!({"ids": ["1"]}),
            json!({"business_id": "b2", "component": "agent"}),
            json!({"business_id": "b2", "component": "agent", "ids": []}),
            json!({"business_id": "b2", "component": "a/b", "ids": ["1"]}),
        ] {
            let error = plan(&scheduled(), &payload).unwrap_err().to_string();
            assert!(error.starts_with("the payload"), "{error}");
        }
    }

    fn run(outcome: RunOutcome, accepted: usize) -> RunReport {
        let ResyncPlan::Entities(calls) = entities(&["1", "2"]) else { panic!("entities") };
        let [first, second] = &calls[..] else { panic!("two calls") };
        RunReport {
            began_at: Some(Timestamp::EPOCH),
            accepted,
            not_accepted: vec![NotAccepted {
                call: first.clone(),
                status: Some(StatusCode::NOT_FOUND),
                reason: Reason::Refused,
            }],
            not_asked: vec![second.clone()],
            outcome,
            ..RunReport::default()
        }
    }

    #[test]
    fn a_run_that_made_calls_is_summarised() {
        let summary = serde_json::to_value(summary(run(RunOutcome::OutOfTime, 3)).unwrap()).unwrap();
        assert_eq!(
            summary,
            json!({
                "outcome": "out-of-time",
                "began_at": "1970-01-01T00:00:00.000Z",
                "last_complete_run_began_at": null,
                "accepted": 3,
                "not_accepted": 1,
                "not_asked": 1,
                "not_accepted_calls":
                    [{"business_id": "b2", "component": "agent", "asked": "id=1", "status": 404, "reason": "refused"}],
                "not_asked_calls": [{"business_id": "b2", "component": "agent", "asked": "id=2"}],
            })
        );
    }

    #[test]
    fn a_run_without_success_fails_the_invocation_with_the_reason() {
        for (report, expected) in [
            (run(RunOutcome::Incomplete, 0), "some calls were not accepted (0 accepted, 1 not accepted, 1 not asked)"),
            (
                run(RunOutcome::CredentialsWrong, 3),
                "nurturecloud refused the credentials; correct client id and secret",
            ),
        ] {
            let error = summary(report).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
