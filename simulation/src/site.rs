//! The whole site: the services, the functions in front of them and behind them, and who operates them.

use std::sync::Arc;

use intake_pipeline::intake::IntakeSettings;

use crate::drains::Drains;
use crate::gateway::{Answer, Gateway, Sent};
use crate::guarded::Guarded;
use crate::invariant::Invariant;
use crate::keys::{self, KeyNumber};
use crate::mapping::QueueMapping;
use crate::operator::Operator;
use crate::platform::Services;
use crate::rabbitmq::RabbitMq;
use crate::resyncs::Resyncs;
use crate::stream_mapping::StreamMapping;
use crate::world::World;

/// The whole site.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) services: Services,
    pub(crate) gateway: Gateway,
    pub(crate) operator: Operator,
    pub(crate) queue_mapping: QueueMapping,
    pub(crate) stream_mapping: StreamMapping,
    pub(crate) broker: RabbitMq,
    pub(crate) drains: Arc<Drains>,
    pub(crate) resyncs: Arc<Resyncs>,
    /// Genuine requests, as somebody on the way sees them.
    pub(crate) captured: Guarded<Vec<(&'static str, Sent)>>,
    /// Tokens that were issued, which must be in no line of the log.
    pub(crate) tokens: Guarded<Vec<String>>,
}

impl Site {
    pub(crate) fn new(world: &World) -> Arc<Self> {
        let services = Services::new(world);
        let settings = IntakeSettings::default();
        let broker = RabbitMq::new(world, &services.reference);
        Arc::new(Self {
            gateway: Gateway::new(&services, settings),
            operator: Operator::new(&services, settings.secret_refresh),
            queue_mapping: QueueMapping::new(&services),
            stream_mapping: StreamMapping::new(&services),
            drains: Arc::new(Drains::new(&services, &broker)),
            resyncs: Arc::new(Resyncs::new(&services)),
            broker,
            captured: Guarded::default(),
            tokens: Guarded::default(),
            services,
        })
    }

    /// Whether nothing is left to be processed.
    pub(crate) fn is_drained(&self) -> bool {
        self.services.sqs.is_empty() && self.broker.is_empty() && self.stream_mapping.is_done()
    }

    /// The key that a provider signs with now.
    pub(crate) fn signing_key(&self, name: &'static str) -> KeyNumber {
        self.operator.keys_of(name).signs
    }

    /// Posts a genuine delivery of a provider that signs with this key.
    pub(crate) async fn post(&self, name: &'static str, key: KeyNumber, sent: &Sent) -> Option<Answer> {
        self.captured.get().push((name, sent.clone()));
        self.gateway.post(name, sent, Some(&keys::part_of_secret(name, key))).await
    }

    /// Checks that an answer to something genuine has one of the meanings that its provider is owed. What the API answers in our place
    /// is none of our code's.
    pub(crate) fn check_status(&self, name: &str, answer: &Answer, owed: &[u16]) {
        if answer.is_ours && !owed.contains(&answer.status) {
            let text = format!("a genuine request of {name} was answered {}", answer.status);
            self.services.world.violate(Invariant::AnswersFollowTheContract, text);
        }
    }
}
