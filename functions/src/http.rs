//! The functions behind the HTTP API.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use intake_aws::{Aws, Clients, S3Refused};
use intake_pipeline::answering::AnswerBy;
use intake_pipeline::clock::SystemClock;
use intake_pipeline::config::{ConfigProblems, IntakeConfig, KeepRefused, TokenEndpointConfig};
use intake_pipeline::intake::Intake;
use intake_pipeline::preparation::MAX_PREPARATION;
use intake_pipeline::refused::keeper::RefusedKeeper;
use intake_pipeline::telemetry::Telemetry;
use intake_pipeline::token_endpoint::TokenEndpoint;
use intake_providers::webhook::Webhook;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::{Body, IntoResponse as _, Service};
use lambda_runtime::{LambdaEvent, service_fn};

use crate::deadline::end_by;
use crate::{Error, environment_variable, report, start_telemetry};

mod event;

use event::Event;

/// Share of an invocation's time that is reserved for sending the answer, if the function's timeout is shorter than the deadline.
const MARGIN: Duration = Duration::from_millis(300);

/// Runs the intake of a provider as a Lambda function behind an HTTP API, until Lambda ends the process.
///
/// # Errors
/// When Lambda's runtime API is unavailable. Unusable settings are not an error: every request is then answered "send it
/// again".
pub async fn run_webhook<W: Webhook>() -> Result<(), Error> {
    let started = Instant::now();
    let telemetry = start_telemetry();
    let config = IntakeConfig::from_environment(environment_variable);
    let problems = config.as_ref().err().cloned();
    let (intake, keeper): (Intake<W, Aws>, _) = match config {
        Ok(config) => {
            let clients = Clients::for_intake().await;
            let intake = Intake::new(
                clients.queue(config.queue_url),
                clients.payloads(config.payloads_bucket),
                clients.secrets(config.secret_id),
                SystemClock,
                config.settings,
            );
            (intake, keeper(&clients, W::NAME.as_str(), config.keep_refused))
        }
        Err(_) => (Intake::unconfigured(SystemClock), None),
    };
    intake.prepare(MAX_PREPARATION).await;
    let intake = intake.started_in(started.elapsed());

    let unreadable = intake.clone();
    serve(intake, keeper, move || unreadable.answer_unreadable(), problems, telemetry).await
}

/// Runs the token endpoint as a Lambda function behind an HTTP API, until Lambda ends the process.
///
/// # Errors
/// When Lambda's runtime API is unavailable. Unusable settings are not an error: no token is issued then.
pub async fn run_token_endpoint() -> Result<(), Error> {
    let started = Instant::now();
    let telemetry = start_telemetry();
    let config = TokenEndpointConfig::from_environment(environment_variable);
    let problems = config.as_ref().err().cloned();
    let (endpoint, keeper): (TokenEndpoint<Aws>, _) = match config {
        Ok(config) => {
            let clients = Clients::for_intake().await;
            let endpoint = TokenEndpoint::new(clients.secrets(config.secret_id), SystemClock, config.settings);
            (endpoint, keeper(&clients, "sterling-token", config.keep_refused))
        }
        Err(_) => (TokenEndpoint::unconfigured(SystemClock), None),
    };
    endpoint.prepare(MAX_PREPARATION).await;
    let endpoint = endpoint.started_in(started.elapsed());

    let unreadable = endpoint.clone();
    serve(endpoint, keeper, move || unreadable.answer_unreadable(), problems, telemetry).await
}

/// What keeps refused requests on AWS.
type Keeper = RefusedKeeper<S3Refused, SystemClock>;

fn keeper(clients: &Clients, function: &'static str, keep: Option<KeepRefused>) -> Option<Keeper> {
    let KeepRefused { max_per_hour, bucket } = keep?;
    Some(RefusedKeeper::new(clients.refused(bucket), SystemClock, function, max_per_hour))
}

/// Serves requests, keeps those that are refused if that was asked for, logs the problems of the settings with each request, and
/// writes the counters after each.
///
/// No event makes an invocation fail, because API Gateway would then answer 500: an event that is not a request is answered by
/// `unreadable`.
async fn serve<S>(
    service: S,
    keeper: Option<Keeper>,
    unreadable: impl Fn() -> Response<Full<Bytes>>,
    problems: Option<ConfigProblems>,
    telemetry: Telemetry,
) -> Result<(), Error>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible> + Clone,
{
    let (keeper, unreadable) = (keeper.as_ref(), &unreadable);
    lambda_runtime::run(service_fn(|LambdaEvent { payload: Event(request), context }| {
        let mut service = service.clone();
        if let Some(problems) = &problems {
            report(problems);
        }
        async move {
            let response = match request {
                Ok(mut request) => {
                    request.extensions_mut().insert(AnswerBy(end_by(&context, MARGIN)));
                    match keeper {
                        Some(keeper) => keeper.answer(&mut service, request).await,
                        None => {
                            let Ok(response) = service.call(request).await;
                            response
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the request cannot be read");
                    unreadable()
                }
            };
            let response = api_gateway_response(response).await;
            // Lambda may freeze the process once the response is sent.
            telemetry.flush();
            Ok::<_, Error>(response)
        }
    }))
    .await
}

/// The response in payload format 2.0; `lambda_http` does not export its conversion.
async fn api_gateway_response(response: Response<Full<Bytes>>) -> ApiGatewayV2httpResponse {
    let (head, body) = response.into_response().await.into_parts();
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = head.status.as_u16().into();
    response.headers = head.headers;
    response.is_base64_encoded = matches!(body, Body::Binary(_));
    response.body = Some(body);
    response
}
