//! What every HTTP flow has in common: reading a body up to a limit, and small JSON answers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use intake_providers::answer::Rejection;
use serde::Serialize;

/// Reads a body up to a limit, in bytes.
pub(crate) async fn collect<B>(body: B, limit_bytes: usize) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = Rejection::BodyTooLarge { limit_bytes };
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(too_large);
    }
    match Limited::new(body, limit_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large),
        Err(_) => Err(Rejection::BodyUnreadable),
    }
}

/// An answer in JSON. A 405 names the method that is taken, as RFC 9110 asks.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response<Full<Bytes>> {
    // The documents are plain structs of text and numbers, which always serialise.
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// RFC 9457 problem details.
pub(crate) fn problem(status: StatusCode, reason: &str, detail: String) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: String,
        title: &'a str,
        status: u16,
        detail: String,
    }
    let mut response = json(
        status,
        &Problem {
            r#type: format!("urn:webhook-intake:problem:{reason}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
        },
    );
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
