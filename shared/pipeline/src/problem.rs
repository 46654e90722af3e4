//! Answers in JSON, and problem details as RFC 9457 has them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use intake_providers::delivery::DeliveryId;
use serde::Serialize;

/// What is known of a refused request, in the extensions of its answer: for a server that keeps such requests. It is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The request's id, which the answer has as its `instance`; `None` for an answer without a place for it, as that of the
    /// token endpoint.
    pub id: Option<DeliveryId>,
    /// The reason in the log line, which says more than the answer where the fault is ours.
    pub reason: &'static str,
}

/// An answer in JSON. A 405 names POST as the method that is allowed, as RFC 9110 requires.
#[must_use]
pub fn json(status: StatusCode, document: &impl Serialize) -> Response<Full<Bytes>> {
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

/// A problem in JSON. Its type is `urn:webhook-intake:problem:` and the reason, its title the name of the status code, its
/// instance `urn:uuid:` and the request's id, so that the sender can quote it (RFC 9457, section 3.1.5).
#[must_use]
pub fn problem(status: StatusCode, reason: &str, detail: String, id: DeliveryId) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: String,
        title: &'a str,
        status: u16,
        detail: String,
        instance: String,
    }
    let mut response = json(
        status,
        &Problem {
            r#type: format!("urn:webhook-intake:problem:{reason}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            instance: format!("urn:uuid:{id}"),
        },
    );
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
