//! A webhook function.

use std::time::{Duration, Instant, SystemTime};

use aws::{Clients, S3Payloads, SecretsManagerSecrets, SqsQueue};
use lambda_http::{Context, Request, RequestExt as _, Service as _, service_fn};
use pipeline::config::IntakeConfig;
use pipeline::intake::Intake;
use pipeline::ports::SystemSurroundings;
use providers::webhook::Webhook;

use crate::{Error, environment_variable, report, start_telemetry};

type AwsIntake<W> = Intake<W, SqsQueue, S3Payloads, SecretsManagerSecrets, SystemSurroundings>;

/// Runs the intake of a provider as a Lambda function behind an HTTP API, until Lambda ends the process.
///
/// # Errors
/// When Lambda's runtime API is gone. Settings that can't be used are no error: every request is then answered "send it
/// again".
pub async fn run_webhook<W: Webhook>() -> Result<(), Error> {
    let started = Instant::now();
    let telemetry = start_telemetry();
    let config = IntakeConfig::from_environment(environment_variable);
    let deadline = config.as_ref().map(|config| config.settings.deadline).unwrap_or_default();
    let problems = config.as_ref().err().cloned();
    let intake: AwsIntake<W> = match config {
        Ok(config) => {
            let clients = Clients::for_intake().await;
            Intake::new(
                clients.queue(config.queue_url),
                clients.payloads(config.payloads_bucket),
                clients.secrets(config.secret_id),
                SystemSurroundings,
                config.settings,
            )
        }
        Err(_) => Intake::unconfigured(SystemSurroundings),
    };
    let intake = intake.started_in(started.elapsed());

    lambda_http::run(service_fn(|request: Request| {
        let mut intake = intake.clone();
        if let Some(problems) = &problems {
            report(problems);
        }
        if request.lambda_context_ref().is_some_and(|context| ends_within(context, deadline)) {
            tracing::error!(
                ?deadline,
                "the function's timeout ends before the deadline; raise it above DEADLINE_MILLISECONDS"
            );
        }
        async move {
            let Ok(response) = intake.call(request).await;
            // Lambda may freeze the process once the response is out.
            telemetry.flush();
            Ok::<_, Error>(response)
        }
    }))
    .await
}

/// Whether Lambda ends the invocation before this much time has passed.
fn ends_within(context: &Context, time: Duration) -> bool {
    context.deadline().duration_since(SystemTime::now()).is_ok_and(|remaining| remaining < time)
}
