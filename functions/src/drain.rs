//! The scheduled function that empties a provider's queue.

use std::time::Duration;

use intake_aws::{Aws, Clients};
use intake_broker::AmqpBroker;
use intake_pipeline::clock::SystemClock;
use intake_pipeline::config::DrainConfig;
use intake_pipeline::drain::{Drain, DrainFailure, DrainOutcome, DrainReport};
use intake_pipeline::lease::pause::MIN_PAUSE;
use intake_providers::queue_source::QueueSource;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::deadline::end_by;
use crate::{Error, environment_variable, report, start_telemetry};

/// Share of an invocation's time that is reserved for writing the counters.
const MARGIN: Duration = Duration::from_millis(500);

/// Maximum duration of a run outside of Lambda, where there is no deadline. Each run reads the secret again.
const CONTINUOUS_RUN: Duration = Duration::from_secs(15 * 60);

/// Minimum time between two runs outside of Lambda.
const CONTINUOUS_PAUSE: Duration = Duration::from_secs(5);

/// Empties a provider's queues: as a Lambda function, once for each invocation; anywhere else, such as in a container, run after
/// run until the process is ended. The environment decides which: Lambda sets `AWS_LAMBDA_RUNTIME_API`.
///
/// # Errors
/// When Lambda's runtime API is unavailable. A failed run is not an error: it is logged and counted.
pub async fn run_drain<S: QueueSource>() -> Result<(), Error> {
    let telemetry = start_telemetry();
    let drain: Result<Drain<Aws, AmqpBroker>, _> = match DrainConfig::from_environment(environment_variable) {
        Ok(config) => {
            let clients = Clients::for_drain().await;
            Ok(Drain {
                provider: S::NAME,
                broker: AmqpBroker,
                queue: clients.queue(config.queue_url),
                payloads: clients.payloads(config.payloads_bucket),
                secrets: clients.secrets(config.secret_id),
                read_account: S::read_account,
                lease: clients.lease(config.events_table, S::NAME),
                clock: SystemClock,
                settings: config.settings,
            })
        }
        Err(problems) => Err(problems),
    };
    let run = async |end_by: Instant| {
        let report = match &drain {
            Ok(drain) => drain.run(end_by).await,
            Err(problems) => {
                report(problems);
                let report = DrainReport::not_begun(DrainFailure::ConfigurationInvalid);
                report.write(S::NAME);
                report
            }
        };
        telemetry.flush();
        report
    };
    if environment_variable("AWS_LAMBDA_RUNTIME_API").is_none() {
        loop {
            let report = run(Instant::now() + CONTINUOUS_RUN).await;
            let is_paused = matches!(report.outcome, DrainOutcome::Paused(_));
            tokio::time::sleep(if is_paused { MIN_PAUSE } else { CONTINUOUS_PAUSE }).await;
        }
    }
    let run = &run;
    lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| async move {
        run(end_by(&event.context, MARGIN)).await;
        // A failed run has its own counter and alarm. If the invocation failed, Lambda might retry it.
        Ok::<_, Error>(())
    }))
    .await
}
