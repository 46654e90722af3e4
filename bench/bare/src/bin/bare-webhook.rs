//! The lower bound of a webhook: sends its body to SQS, verifies nothing and counts nothing.

use aws_config::BehaviorVersion;
use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sqs = aws_sdk_sqs::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let queue_url = std::env::var("QUEUE_URL")?;
    let (sqs, queue_url) = (&sqs, &queue_url);
    run(service_fn(|request: Request| async move {
        let Body::Text(body) = request.into_body() else {
            return Ok::<_, Error>(Response::builder().status(400).body(Body::Empty)?);
        };
        sqs.send_message().queue_url(queue_url).message_body(body).send().await?;
        Ok(Response::new(Body::Empty))
    }))
    .await
}
