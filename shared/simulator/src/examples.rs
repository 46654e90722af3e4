//! Deliveries of which the examples in `schemas/examples` are made.

use bytes::Bytes;

/// A delivery whose events are examples of what consumers receive.
#[derive(Clone, Debug)]
pub struct ExampleDelivery {
    /// What the envelope of each of its events is called, after the provider's name and a hyphen.
    pub names: &'static [&'static str],
    /// The headers that are kept of it.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body, recorded or as the provider's own page has it.
    pub body: Bytes,
}

impl ExampleDelivery {
    /// A delivery of one event, without headers.
    #[must_use]
    pub fn of_one(name: &'static [&'static str; 1], body: impl Into<Bytes>) -> Self {
        Self { names: name, headers: Vec::new(), body: body.into() }
    }
}

/// A recorded body, by the name of its file without `.json`.
macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../providers/tests/payloads/", $name, ".json"))
    };
}

pub(crate) use recorded;
