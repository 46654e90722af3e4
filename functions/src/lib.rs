#![doc = include_str!("../README.md")]

mod deadline;
mod drain;
mod http;
mod processor;
mod publisher;
mod resync;

use intake_pipeline::config::ConfigProblems;
use intake_pipeline::telemetry::{Telemetry, TelemetrySettings};

pub use drain::run_drain;
pub use http::{run_token_endpoint, run_webhook};
pub use lambda_runtime::Error;
pub use processor::run_processor;
pub use publisher::run_publisher;
pub use resync::run_resync;

fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn start_telemetry() -> Telemetry {
    let (settings, problems) = TelemetrySettings::from_environment(environment_variable);
    let telemetry = Telemetry::start(&settings);
    if let Some(problems) = problems {
        report(&problems);
    }
    telemetry
}

fn report(problems: &ConfigProblems) {
    tracing::error!(%problems, "correct the function's environment variables");
}
