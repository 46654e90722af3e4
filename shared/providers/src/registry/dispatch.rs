//! Dispatch over the providers of the list. Each call is monomorphic.

use crate::delivery::Delivery;
use crate::event_form::EventForm;
use crate::key_ring::KeyRing;
use crate::malformed::Malformed;
use crate::provider::Provider;
use crate::queue_source::QueueSource;
use crate::registry::name::ProviderName;
use crate::settings::Reader;
use crate::split::{Events, Split};
use crate::webhook::{Webhook, WebhookRoute};

/// A visitor that is called with each webhook's type.
pub trait VisitWebhooks {
    /// Called once with each webhook, in the order of the list.
    fn visit<W: Webhook>(&mut self);
}

/// A visitor that is called with the type of each provider whose queue we consume.
pub trait VisitQueueSources {
    /// Called once with each of them, in the order of the list.
    fn visit<Q: QueueSource>(&mut self);
}

macro_rules! dispatch {
    ($($(#[$doc:meta])* $provider:ident = $module:ident ($source:ident),)+) => {
        /// The settings of all providers, by which their deliveries are read.
        #[derive(Clone, Debug, Default)]
        pub struct Settings {
            $($(#[$doc])* pub $module: <crate::$module::$provider as Provider>::Settings,)+
        }

        impl Settings {
            /// Reads the settings of all providers. Invalid values are reported to the reader.
            #[must_use]
            pub fn read(reader: &mut Reader<'_>) -> Self {
                Self { $($module: crate::$module::$provider::settings(reader),)+ }
            }
        }

        impl Split for Settings {
            fn split<'a>(&'a self, delivery: &'a Delivery) -> Result<Events<'a>, Malformed> {
                match delivery.provider {
                    $(ProviderName::$provider => crate::$module::$provider::split(delivery, &self.$module),)+
                }
            }
        }

        /// Visits every webhook.
        pub fn visit_webhooks(visitor: &mut impl VisitWebhooks) {
            $(visit!($source webhook visitor crate::$module::$provider);)+
        }

        /// Visits every provider whose queue we consume.
        pub fn visit_queue_sources(visitor: &mut impl VisitQueueSources) {
            $(visit!($source queue visitor crate::$module::$provider);)+
        }

        /// What an operator does with a provider's keys.
        #[must_use]
        pub const fn key_ring(provider: ProviderName) -> &'static dyn KeyRing {
            match provider {
                $(ProviderName::$provider => &crate::$module::$provider,)+
            }
        }

        /// What a provider's events promise to their consumers.
        #[must_use]
        pub const fn event_form(provider: ProviderName) -> EventForm {
            match provider {
                $(ProviderName::$provider => <crate::$module::$provider as Provider>::EVENTS,)+
            }
        }

        /// The route of a provider's webhook; `None` for a provider whose queue we consume.
        #[must_use]
        pub const fn webhook_route(provider: ProviderName) -> Option<WebhookRoute> {
            match provider {
                $(ProviderName::$provider => route!($source crate::$module::$provider),)+
            }
        }
    };
}

macro_rules! visit {
    (webhook webhook $visitor:ident $provider:path) => {
        $visitor.visit::<$provider>()
    };
    (queue queue $visitor:ident $provider:path) => {
        $visitor.visit::<$provider>()
    };
    ($source:ident $wanted:ident $visitor:ident $provider:path) => {};
}

macro_rules! route {
    (webhook $provider:path) => {
        Some(<$provider as Webhook>::ROUTE)
    };
    (queue $provider:path) => {
        None
    };
}

providers!(dispatch);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<ProviderName>);

    impl VisitWebhooks for Names {
        fn visit<W: Webhook>(&mut self) {
            self.0.push(W::NAME);
        }
    }

    impl VisitQueueSources for Names {
        fn visit<Q: QueueSource>(&mut self) {
            self.0.push(Q::NAME);
        }
    }

    #[test]
    fn every_provider_is_visited_once_as_a_webhook_or_as_a_queue() {
        let (mut webhooks, mut queues) = (Names::default(), Names::default());
        visit_webhooks(&mut webhooks);
        visit_queue_sources(&mut queues);
        for provider in ProviderName::ALL {
            let has_webhook = webhooks.0.iter().filter(|name| *name == provider).count();
            let has_queue = queues.0.iter().filter(|name| *name == provider).count();
            assert_eq!(has_webhook + has_queue, 1, "{provider}");
            assert_eq!(webhook_route(*provider).is_some(), has_webhook == 1, "{provider}");
        }
    }

    #[test]
    fn a_provider_is_listed_under_its_own_name() {
        struct Paths;
        impl VisitWebhooks for Paths {
            fn visit<W: Webhook>(&mut self) {
                assert_eq!(W::ROUTE.path(), W::NAME.source_path());
            }
        }
        visit_webhooks(&mut Paths);
    }
    #[test]
    fn no_secret_is_read_without_the_names_of_its_members() {
        struct Read;
        impl VisitWebhooks for Read {
            fn visit<W: Webhook>(&mut self) {
                for text in ["[]", "[[]]", r#"["issuer","audience",[],[]]"#] {
                    assert!(W::read_keys(text).is_err(), "{}: {text}", W::NAME);
                }
            }
        }
        visit_webhooks(&mut Read);
    }
}
