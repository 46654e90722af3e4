//! NurtureCloud's Data API and the place of the resume point, with an observer of what is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use intake_pipeline::port_error::PortError;
use intake_pipeline::resync::{ResumePoints, Saved, SyncApi};
use intake_providers::date::Date;
use intake_providers::nurturecloud::resync::{SyncAnswer, SyncCall, What};

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::invariant::Invariant;
use crate::swarm::FaultClass;
use crate::world::{Call, Service, World};

/// Maximum number of calls in a minute: 30, and one of a run that does not know yet that another one has begun, and one more because a
/// minute has two ends.
const MAX_CALLS_PER_MINUTE: usize = 32;

/// Number of days that the first call of a pair looks back.
const LOOKBACK_DAYS: u16 = 7;

#[derive(Debug, Default)]
struct State {
    document: Option<String>,
    /// The first day that the next call of each pair must cover.
    owed: BTreeMap<String, Date>,
    arrivals: Vec<Duration>,
}

/// What the API and the resume point's table know.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataService(Arc<Guarded<State>>);

/// Both as one process reaches them.
#[derive(Clone, Debug)]
pub(crate) struct DataApi {
    world: World,
    service: DataService,
    instance: Arc<Instance>,
}

impl DataApi {
    pub(crate) fn new(world: &World, service: &DataService, instance: &Arc<Instance>) -> Self {
        Self { world: world.clone(), service: service.clone(), instance: Arc::clone(instance) }
    }

    /// A call has arrived.
    fn arrive(world: &World, state: &mut State, pair: &str, since: Date, is_accepted: bool) {
        state.arrivals.push(world.at());
        let minute = world.at().saturating_sub(Duration::from_secs(60));
        let recent = state.arrivals.iter().rev().take_while(|at| **at > minute).count();
        if recent > MAX_CALLS_PER_MINUTE {
            world.violate(Invariant::ResyncsOweNothing, format!("{recent} calls within a minute"));
        }
        if !is_accepted {
            return;
        }
        let today = Date::of(world.now());
        let owed = *state.owed.entry(pair.to_owned()).or_insert_with(|| today.days_before(LOOKBACK_DAYS));
        if since > owed {
            let text = format!("{pair} was asked for since {since}, and is owed since {owed}");
            world.violate(Invariant::ResyncsOweNothing, text);
        }
        state.owed.insert(pair.to_owned(), today);
    }
}

impl SyncApi for DataApi {
    async fn call(&self, call: &SyncCall) -> Result<SyncAnswer, PortError> {
        let world = self.world.clone();
        let status = match () {
            () if world.happens(FaultClass::ThrottledCalls) => StatusCode::TOO_MANY_REQUESTS,
            () if world.happens(FaultClass::RefusedCalls) => StatusCode::BAD_GATEWAY,
            () => StatusCode::ACCEPTED,
        };
        let since = match &call.what {
            What::All { since } => *since,
            What::ById { .. } => Date::FIRST,
        };
        let pair = format!("{}/{}", call.business_id.as_str(), call.component.as_str());
        let made = Call { service: Service::DataApi, operation: call.operation(), killed_after: None };
        let (service, named) = (self.service.clone(), pair.clone());
        let effect = move || {
            Self::arrive(&world, &mut service.0.get(), &named, since, status == StatusCode::ACCEPTED);
            Ok(())
        };
        self.world.call(&self.instance, made, || format!("{pair} since {since}"), effect).await?;
        let retry_after = (status == StatusCode::TOO_MANY_REQUESTS).then(|| "20".to_owned());
        Ok(SyncAnswer { status, retry_after })
    }
}

impl ResumePoints for DataApi {
    async fn load(&self) -> Result<Option<String>, PortError> {
        let call = Call { service: Service::DynamoDb, operation: "dynamodb GetItem", killed_after: None };
        let service = self.service.clone();
        let effect = move || Ok(service.0.get().document.clone());
        self.world.call(&self.instance, call, || "the resume point".to_owned(), effect).await
    }

    async fn save(&self, seen: Option<&str>, document: &str) -> Result<Saved, PortError> {
        let call = Call { service: Service::DynamoDb, operation: "dynamodb PutItem", killed_after: None };
        let (service, seen, document) = (self.service.clone(), seen.map(str::to_owned), document.to_owned());
        let effect = move || {
            let mut state = service.0.get();
            if state.document.as_ref() == Some(&document) {
                return Ok(Saved::Done);
            }
            if state.document != seen {
                return Ok(Saved::ChangedMeanwhile);
            }
            state.document = Some(document.clone());
            Ok(Saved::Done)
        };
        self.world.call(&self.instance, call, || "the resume point".to_owned(), effect).await
    }
}
