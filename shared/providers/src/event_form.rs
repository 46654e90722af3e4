//! What the events of a provider promise to those who consume them.
//!
//! The published schemas are made of it. A promise that was published is never taken back: see the README of `schemas/`.

/// What each event of a provider promises, beyond what every event promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventForm {
    /// Pattern of what follows the provider's name and a dot in `type`, as a regular expression of ECMA 262.
    pub type_pattern: &'static str,
    /// The context attributes that events may lack in general, and those of this provider have.
    pub always: &'static [&'static str],
    /// The form of `data`.
    pub data: DataForm,
    /// The extensions that only this provider's events have.
    pub extensions: &'static [Extension],
}

/// The form of an event's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataForm {
    /// A JSON object that holds at least these members.
    Object(&'static [&'static str]),
    /// Anything: the provider publishes no form, so none is checked.
    Any,
}

/// A CloudEvents extension of one provider's events: an [attribute](crate::event::Event::attributes) that says something which
/// the data do not say, or by which a consumer has to route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Name of the extension: lower-case letters and digits, at most 20.
    pub name: &'static str,
    /// Name of the attribute that it is made of.
    pub attribute: &'static str,
    /// What it says, for the schema.
    pub description: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::ProviderName;
    use crate::registry::event_form;

    #[test]
    fn names_of_extensions_follow_the_rules_of_cloudevents_and_are_given_once() {
        for provider in ProviderName::ALL {
            let form = event_form(*provider);
            let names: BTreeSet<&str> = form.extensions.iter().map(|extension| extension.name).collect();
            assert_eq!(names.len(), form.extensions.len(), "{provider}");
            for name in names {
                let is_allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
                assert!((1..=20).contains(&name.len()) && name.chars().all(is_allowed), "{provider}: {name}");
            }
        }
    }
}
