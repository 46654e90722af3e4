//! The providers: the only list of them.
//!
//! A line names a provider's type, its module, and how its events arrive. The module's name is the provider's name wherever one
//! is written. The list generates [`ProviderName`], the [`Settings`] of all providers with the dispatch from a delivery to its
//! events, the routes of the webhooks, and the keys of each for the operator's
//! commands, and a visitor over the webhooks' types. A function names one type and links no other.

/// Passes the list to a macro: for each provider the type, its module, and whether it has a `webhook` or a `queue`.
#[macro_export]
macro_rules! providers {
    ($make:ident) => {
        $make! {
            /// Event accreditation and badging.
            Accredit = accredit (webhook),
            /// Remittances and payments.
            Machnet = machnet (webhook),
            /// Insurance agency management. Its events wait in its own RabbitMQ.
            NowCerts = nowcerts (queue),
            /// The entities of real-estate agencies.
            NurtureCloud = nurturecloud (webhook),
            /// IBM Sterling Intelligent Promising: inventory events.
            Sterling = sterling (webhook),
        }
    };
}

mod dispatch;
pub(crate) mod name;

pub use dispatch::{
    Settings, VisitQueueSources, VisitWebhooks, event_form, key_ring, visit_queue_sources, visit_webhooks,
    webhook_route,
};
pub use name::{ProviderName, UnknownProvider};
