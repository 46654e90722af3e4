//! The token endpoint: RFC 6749's client credentials grant over one secret.
//!
//! Like the intake it is a tower service over plain `http` types, answers within a deadline, and catches panics. Sterling
//! loses no event by a token that comes late, but its events go to the failed queue when it gets none, so nothing here
//! throttles.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use intake_providers::active_keys::{KeySetError, ReadKeySet};
use intake_providers::answer::{Fault, Rejection};
use intake_providers::json_object;
use intake_providers::json_place::JsonPlace;
use intake_providers::oauth::access_token::{self, AccessToken};
use intake_providers::oauth::authority::Authority;
use intake_providers::oauth::client_id::ClientId;
use intake_providers::oauth::token_request::{MAX_TOKEN_REQUEST_BYTES, TokenError, TokenRequest, check_content_type};
use serde::Serialize;

use crate::answering::{Guard, collect};
use crate::clock::Clock;
use crate::counters::Counter;
use crate::evidence::Evidence;
use crate::intake::IntakeSettings;
use crate::key_cache::{KeyCache, Newer};
use crate::platform::Platform;
use crate::preparation::prepare;
use crate::problem::{self, Refusal};

/// How long the authority's document stays in use after it was last read. Once a client or a signing key was removed from it,
/// perhaps because it was stolen, an unreadable secret must not keep tokens for it coming. Sterling keeps a token for an hour
/// or longer, so an outage of that length rarely costs it one. The webhook has no such limit: it refuses nobody for our outage.
const MAX_AUTHORITY_AGE: Duration = Duration::from_secs(60 * 60);

/// The token endpoint.
pub struct TokenEndpoint<P: Platform>(Arc<Inner<P>>);

impl<P: Platform> Clone for TokenEndpoint<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<P: Platform> {
    /// `None` without usable settings.
    authority: Option<KeyCache<Authority, P::Secrets>>,
    clock: P::Clock,
    guard: Guard,
}

impl<P: Platform> TokenEndpoint<P> {
    /// An endpoint on these ports. The secret holds the authority's whole document.
    pub fn new(secrets: P::Secrets, clock: P::Clock, settings: IntakeSettings) -> Self {
        let authority = KeyCache::new("sterling-token", secrets, read_authority, settings.secret_refresh)
            .with_max_age(MAX_AUTHORITY_AGE);
        Self(Arc::new(Inner { authority: Some(authority), clock, guard: Guard::new(settings.deadline) }))
    }

    /// An endpoint without usable settings. It issues no token, and says that the fault is ours.
    pub fn unconfigured(clock: P::Clock) -> Self {
        Self(Arc::new(Inner { authority: None, clock, guard: Guard::new(IntakeSettings::default().deadline) }))
    }

    /// Reads the authority's document, for at most this long, so that the first request finds it. A failure is logged, and the first
    /// request does it.
    pub async fn prepare(&self, at_most: Duration) {
        if let Some(authority) = &self.0.authority {
            prepare("authority", at_most, authority.prefetch()).await;
        }
    }

    /// Charges the first request with the time that the process has taken to start.
    #[must_use]
    pub fn started_in(self, start: Duration) -> Self {
        self.0.guard.charge_start(start);
        self
    }

    /// The answer to a request that can't be parsed.
    #[must_use]
    pub fn answer_unreadable(&self) -> Response<Full<Bytes>> {
        let result = Err(NoToken::Fault(Fault::RequestUnreadable));
        report(&result, None, &Evidence::default(), Duration::ZERO);
        respond(&result)
    }
}

/// Reads the authority's document; a lifetime that is too short to be meant makes it unusable.
///
/// # Errors
/// [`KeySetError`]. Nothing in it repeats the document.
pub fn read_authority(secret: &str) -> Result<ReadKeySet<Authority>, KeySetError> {
    let keys: Authority = json_object::read(secret).map_err(|error| KeySetError::Malformed {
        form: "that `oauth` commands write",
        place: JsonPlace::from(&error),
    })?;
    keys.check_lifetime().map_err(|error| KeySetError::Refused(error.to_string()))?;
    Ok(ReadKeySet { keys, problems: Vec::new() })
}

impl<P: Platform, B> tower::Service<Request<B>> for TokenEndpoint<P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

/// Why no token is issued.
enum NoToken {
    Method,
    Body(Rejection),
    Request(TokenError),
    Fault(Fault),
}

/// RFC 6749, section 5.1.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
}

/// RFC 6749, section 5.2.
#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: &'a str,
    error_description: String,
}

impl<P: Platform> Inner<P> {
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answer_by = request.extensions().get().copied();
        let evidence = Evidence::of(&request);
        let named = OnceLock::new();
        let ran = self.guard.run(answer_by, self.token(request, &named)).await;
        let result = ran.result.unwrap_or_else(|fault| Err(NoToken::Fault(fault)));
        report(&result, named.get(), &evidence, ran.duration);
        let mut response = respond(&result);
        response.extensions_mut().insert(ran.answer_by);
        response
    }

    /// `named` becomes the client that asks, if the document has it. Another id is not kept: it may be a secret in the wrong place.
    async fn token<B>(
        &self,
        request: Request<B>,
        named: &OnceLock<ClientId>,
    ) -> Result<(ClientId, AccessToken), NoToken>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(NoToken::Method);
        }
        let authority = self.authority.as_ref().ok_or(NoToken::Fault(Fault::ConfigurationInvalid))?;
        check_content_type(&head.headers).map_err(NoToken::Request)?;
        let body = collect(body, MAX_TOKEN_REQUEST_BYTES).await.map_err(NoToken::Body)?;
        let request = TokenRequest::read(&head.headers, &body).map_err(NoToken::Request)?;

        let keys = authority.keys().await.map_err(|_logged| NoToken::Fault(Fault::SecretsUnavailable))?;
        if let Some(result) = keys.get().and_then(|authority| self.issue(authority, &request, named)) {
            return result;
        }
        match authority.newer_than(&keys).await {
            Newer::Keys(newer) => {
                let issued = newer.get().and_then(|authority| self.issue(authority, &request, named));
                issued.unwrap_or_else(|| Err(unknown_client(newer.get())))
            }
            Newer::None => Err(unknown_client(keys.get())),
            // The client may be in the document that can't be read now.
            Newer::Unavailable => Err(NoToken::Fault(Fault::SecretsUnavailable)),
        }
    }

    /// A token for the client of the request; nothing when it isn't in this document.
    fn issue(
        &self,
        authority: &Authority,
        request: &TokenRequest,
        named: &OnceLock<ClientId>,
    ) -> Option<Result<(ClientId, AccessToken), NoToken>> {
        if let Some(client) = authority.client_named(&request.client_id) {
            let _ = named.set(client.clone());
        }
        let client = authority.authenticate(&request.client_id, &request.client_secret)?;
        let now = self.clock.now();
        let token = access_token::issue(authority, client, self.clock.new_delivery_id(now), now);
        Some(match token {
            Ok(token) => Ok((client.clone(), token)),
            Err(error) => {
                tracing::error!(%error, "no token can be signed");
                Err(NoToken::Fault(Fault::NoActiveKey))
            }
        })
    }
}

/// Why a client is not in the document: because it is unknown, or because nothing was set up.
fn unknown_client(authority: Option<&Authority>) -> NoToken {
    if authority.is_some_and(|authority| !authority.clients.is_empty()) {
        NoToken::Request(TokenError::InvalidClient)
    } else {
        NoToken::Fault(Fault::NoActiveKey)
    }
}

impl NoToken {
    fn reason(&self) -> &'static str {
        match self {
            Self::Method => Rejection::MethodNotAllowed.reason(),
            Self::Body(rejection) => rejection.reason(),
            Self::Request(error) => error.code(),
            Self::Fault(fault) => fault.reason(),
        }
    }

    /// The counter of such requests. A request that is malformed has none: its line says so.
    const fn counter(&self) -> Option<Counter> {
        match self {
            Self::Request(TokenError::InvalidClient) => Some(Counter::TokensUnverified),
            Self::Fault(_) => Some(Counter::TokensFaults),
            Self::Method
            | Self::Body(_)
            | Self::Request(TokenError::InvalidRequest(_) | TokenError::UnsupportedGrantType) => None,
        }
    }
}

fn report(
    result: &Result<(ClientId, AccessToken), NoToken>,
    named: Option<&ClientId>,
    evidence: &Evidence,
    duration: Duration,
) {
    let (outcome, client_id, reason) = match result {
        Ok((client, _)) => {
            Counter::TokensIssued.count();
            ("issued", Some(client.as_str()), None)
        }
        Err(no_token) => {
            if let Some(counter) = no_token.counter() {
                counter.count();
            }
            ("refused", named.map(ClientId::as_str), Some(no_token.reason()))
        }
    };
    let evidence = result.is_err().then_some(evidence);
    tracing::info!(
        outcome,
        client_id,
        reason,
        duration_microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        source_address = evidence.and_then(Evidence::source_address),
        api_request_id = evidence.and_then(Evidence::api_request_id),
        user_agent = evidence.and_then(Evidence::user_agent),
        header_names = evidence.map(Evidence::header_names),
        content_length = evidence.and_then(Evidence::content_length),
        "token"
    );
}

fn respond(result: &Result<(ClientId, AccessToken), NoToken>) -> Response<Full<Bytes>> {
    let error =
        |status, error: &str, error_description| problem::json(status, &ErrorAnswer { error, error_description });
    let mut response = match result {
        Ok((_, token)) => problem::json(
            StatusCode::OK,
            &TokenAnswer { access_token: token.reveal(), token_type: "Bearer", expires_in: token.expires_in.as_secs() },
        ),
        Err(NoToken::Method) => {
            let description = "the token endpoint takes POST only".to_owned();
            error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", description)
        }
        Err(NoToken::Body(rejection @ Rejection::BodyTooLarge { .. })) => {
            error(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", rejection.to_string())
        }
        Err(NoToken::Body(rejection)) => error(StatusCode::BAD_REQUEST, "invalid_request", rejection.to_string()),
        Err(NoToken::Request(request)) => error(request.status(), request.code(), request.to_string()),
        Err(NoToken::Fault(_)) => {
            let words = "no token can be given just now; ask again".to_owned();
            error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", words)
        }
    };
    if let Err(no_token) = result {
        response.extensions_mut().insert(Refusal { id: None, reason: no_token.reason() });
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if matches!(result, Err(NoToken::Request(TokenError::InvalidClient))) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="webhook-intake""#));
    }
    response
}

#[cfg(test)]
mod tests;
