//! Requests to NurtureCloud to resend its entities.
//!
//! Notifications may be lost, and there is no API to read entities back. Two calls replace it. Each is answered 202 immediately,
//! and its results arrive at the webhook later, as `Current` notifications:
//!
//! - `POST {base}/business/{businessId}/{component}/sync-all?since=YYYY-MM-DD`
//! - `POST {base}/business/{businessId}/{component}/sync-by-id?id=...`
//!
//! The pages disagree on whether `/v1` comes before `/business`, so the base URL is a setting that includes it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use url::{Host, Url};

use crate::date::Date;
use crate::nurturecloud::component::ComponentName;

mod answer;
mod credentials;

pub use answer::{DEFAULT_WAIT, SyncAnswer, Verdict};
pub use credentials::{CredentialProblem, Credentials, CredentialsError};

/// Maximum number of calls in one plan. The progress of all calls is one item, which must fit DynamoDB's 400 KB.
pub const MAX_CALLS: usize = 1_000;

/// Maximum length of the id of a business or an entity, in bytes.
const MAX_ID_BYTES: usize = 64;

/// Not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id; write 1 to {MAX_ID_BYTES} characters without spaces, such as a uuid")]
pub struct InvalidId(String);

/// URL parsing removes the segments `.` and `..`, and white space is most likely a typing error.
fn checked_id(text: &str) -> Result<String, InvalidId> {
    let is_printable = text.chars().all(|character| character.is_ascii_graphic());
    if (1..=MAX_ID_BYTES).contains(&text.len()) && is_printable && text != "." && text != ".." {
        Ok(text.to_owned())
    } else {
        Err(InvalidId(text.to_owned()))
    }
}

/// NurtureCloud's id of a business.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BusinessId(String);

/// NurtureCloud's id of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EntityId(String);

impl BusinessId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EntityId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BusinessId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        checked_id(text).map(Self)
    }
}

impl FromStr for EntityId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        checked_id(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for BusinessId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked_id(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for EntityId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked_id(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// Why a text is not accepted as the base URL. The text is not repeated: it may hold credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// Not a URL, or one without a host.
    #[error("the base url is not a valid url; write one such as https://HOST/v1")]
    Malformed,
    /// The credentials would travel in plain text.
    #[error("the base url must be of https; plain http is for this machine only")]
    NotSecure,
    /// Credentials, a query or a fragment in the URL.
    #[error("the base url holds credentials, a query or a fragment; write only scheme, host and path")]
    MoreThanAPath,
}

/// Base URL of the Data API: scheme, host and the path before `/business`. It uses https unless it is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The host, with the port if it is not the scheme's default.
    #[must_use]
    pub fn service(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        is_this_machine(&self.0)
    }

    /// Whether the scheme is https.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| InvalidBaseUrl::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(&url) => {}
            "http" => return Err(InvalidBaseUrl::NotSecure),
            _ => return Err(InvalidBaseUrl::Malformed),
        }
        let is_plain =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        if is_plain { Ok(Self(url)) } else { Err(InvalidBaseUrl::MoreThanAPath) }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// The entities that a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Every entity that has changed since a date.
    All {
        /// The first date.
        since: Date,
    },
    /// A single entity.
    ById {
        /// The entity's id.
        id: EntityId,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All { since } => write!(f, "since={since}"),
            Self::ById { id } => write!(f, "id={}", id.as_str()),
        }
    }
}

/// One call of the Data API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncCall {
    /// The business that owns the entities.
    pub business_id: BusinessId,
    /// The kind of entity.
    pub component: ComponentName,
    /// All entities changed since a date, or a single one.
    pub what: What,
}

impl SyncCall {
    /// The URL to POST to.
    #[must_use]
    pub fn url(&self, base: &BaseUrl) -> Url {
        let mut url = base.0.clone();
        let (operation, name, value) = match &self.what {
            What::All { since } => ("sync-all", "since", since.to_string()),
            What::ById { id } => ("sync-by-id", "id", id.as_str().to_owned()),
        };
        // Only a URL that can't be a base, such as one of mailto, has no segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["business", self.business_id.as_str(), self.component.as_str(), operation]);
        }
        url.query_pairs_mut().append_pair(name, &value);
        url
    }

    /// The call's name, for errors.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self.what {
            What::All { .. } => "nurturecloud sync-all",
            What::ById { .. } => "nurturecloud sync-by-id",
        }
    }
}

/// A component of a business.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// The business that owns the entities.
    pub business_id: BusinessId,
    /// The kind of entity.
    pub component: ComponentName,
}

/// The calls of a run. [`ResyncPlan::everything`] and [`ResyncPlan::entities`] make one that is neither empty nor too
/// large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResyncPlan {
    /// All entities of these pairs.
    Everything {
        /// The pairs, each once.
        pairs: Vec<Pair>,
        /// The first date, if it was given; otherwise the saved progress decides.
        since: Option<Date>,
    },
    /// Single entities, each once.
    Entities(Vec<SyncCall>),
}

/// Why a plan is empty or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// The plan is empty.
    #[error("there is nothing to ask for; name at least one {missing}")]
    Empty {
        /// The kind of thing that is missing.
        missing: &'static str,
    },
    /// More than [`MAX_CALLS`] calls.
    #[error("{calls} calls are more than the {MAX_CALLS} of one run; name fewer businesses, components or ids")]
    TooMany {
        /// Number of calls that were asked for.
        calls: usize,
    },
}

impl ResyncPlan {
    /// Plans one call per component of each business.
    ///
    /// # Errors
    /// When there are no calls, or more than [`MAX_CALLS`].
    pub fn everything(
        businesses: &[BusinessId],
        components: &[ComponentName],
        since: Option<Date>,
    ) -> Result<Self, InvalidPlan> {
        let (businesses, components) = (distinct(businesses), distinct(components));
        let calls = businesses.len().saturating_mul(components.len());
        check_calls(calls, if businesses.is_empty() { "business" } else { "component" })?;
        let mut pairs = Vec::with_capacity(calls);
        for business_id in &businesses {
            let pair =
                |component: &ComponentName| Pair { business_id: business_id.clone(), component: component.clone() };
            pairs.extend(components.iter().map(pair));
        }
        Ok(Self::Everything { pairs, since })
    }

    /// Plans one call per entity of a component.
    ///
    /// # Errors
    /// When there are none, or more than [`MAX_CALLS`].
    pub fn entities(
        business_id: &BusinessId,
        component: &ComponentName,
        ids: &[EntityId],
    ) -> Result<Self, InvalidPlan> {
        let ids = distinct(ids);
        check_calls(ids.len(), "id")?;
        let call =
            |id| SyncCall { business_id: business_id.clone(), component: component.clone(), what: What::ById { id } };
        Ok(Self::Entities(ids.into_iter().map(call).collect()))
    }

    /// Sets the first date, if the plan asks for all entities.
    #[must_use]
    pub fn since(self, since: Option<Date>) -> Self {
        match self {
            Self::Everything { pairs, .. } => Self::Everything { pairs, since },
            Self::Entities(calls) => Self::Entities(calls),
        }
    }
}

fn check_calls(calls: usize, missing: &'static str) -> Result<(), InvalidPlan> {
    match calls {
        0 => Err(InvalidPlan::Empty { missing }),
        1..=MAX_CALLS => Ok(()),
        _ => Err(InvalidPlan::TooMany { calls }),
    }
}

/// Removes repetitions and keeps the order of first mention.
fn distinct<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut distinct: Vec<T> = Vec::new();
    for one in all {
        if !distinct.contains(one) {
            distinct.push(one.clone());
        }
    }
    distinct
}

#[cfg(test)]
mod tests;
