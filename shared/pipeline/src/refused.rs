//! Requests that were refused, kept whole.
//!
//! What is in them may be a secret, such as a token or the end of a URL: only the operator may read where they are kept, and they
//! expire.
//!
//! - [`keeper`]: what a function on AWS keeps, and how little that may cost.
//! - [`document`]: the form in which it is kept.

use std::future::Future;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Method, Version};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use crate::port_error::PortError;

pub mod document;
pub mod keeper;

/// What is known of a refused request without its head and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedSummary {
    /// The id that the answer named.
    pub id: DeliveryId,
    /// When it came.
    pub received_at: Timestamp,
    /// The provider whose webhook it called; `None` for every other path.
    pub provider: Option<ProviderName>,
    /// The status of the answer.
    pub status: u16,
    /// Why it was refused.
    pub reason: String,
    /// The method.
    pub method: String,
    /// Path and query. They may hold a secret.
    pub target: String,
    /// Size of the kept body, in bytes.
    pub body_bytes: u64,
    /// Whether the whole body is kept. It is not when it was too large, or never arrived.
    pub is_whole: bool,
}

/// A refused request.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// What is known of it.
    pub summary: RefusedSummary,
    /// The request line and the headers, each with its line break, as HTTP/1.1 writes them.
    pub head: Vec<u8>,
    /// The body.
    pub body: Bytes,
}

impl RefusedRequest {
    /// The request as HTTP/1.1 writes it.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        [&self.head, &b"\r\n"[..], &self.body].concat()
    }
}

impl std::fmt::Debug for RefusedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefusedRequest({})", self.summary.id)
    }
}

/// Where refused requests are kept, for those who look for one.
pub trait RefusedReader: Send + Sync {
    /// The latest refused requests, in the order in which they came.
    fn list(&self, limit: u32) -> impl Future<Output = Result<Vec<RefusedSummary>, PortError>> + Send;

    /// A refused request; `None` if it is not kept, or no longer.
    fn get(&self, id: DeliveryId) -> impl Future<Output = Result<Option<RefusedRequest>, PortError>> + Send;
}

/// The request line and the headers as HTTP/1.1 writes them. The chunks of a body are not kept, so their header is left out.
#[must_use]
pub fn request_head(method: &Method, target: &str, version: Version, headers: &HeaderMap) -> Vec<u8> {
    let mut text = format!("{method} {target} {version:?}\r\n").into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| *name != TRANSFER_ENCODING) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text
}

/// The query of a request, as the API in front of us got it: an extension of the request. No flow reads a query, so it is not
/// part of the request's URI. It may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RawQuery(pub String);

impl std::fmt::Debug for RawQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawQuery({} bytes)", self.0.len())
    }
}
