//! The names of domain components. URLs and notifications have them in the singular, subscriptions in the plural.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The names that NurtureCloud's pages show: singular and plural.
const KNOWN: [(&str, &str); 4] =
    [("agency", "agencies"), ("agent", "agents"), ("appointment", "appointments"), ("contact", "contacts")];

/// The one name of a component, whichever form and letters it is written in: lower-case and singular. A name that isn't
/// known loses the ending of a plural.
#[must_use]
pub fn component_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if let Some((singular, _)) = KNOWN.iter().find(|(singular, plural)| [*singular, *plural].contains(&name.as_str())) {
        return (*singular).to_owned();
    }
    if let Some(stem) = name.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let is_singular = ["ss", "us", "is"].iter().any(|ending| name.ends_with(ending));
    match name.strip_suffix('s') {
        Some(stem) if !is_singular && !stem.is_empty() => stem.to_owned(),
        _ => name,
    }
}

/// A component's one name, as URLs have it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ComponentName(String);

/// A text that can't be a component's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no component; write letters only, such as contact or contacts")]
pub struct InvalidComponentName(String);

impl ComponentName {
    /// The longest name, in letters.
    const LONGEST: usize = 64;

    /// Reads a name in the singular or the plural: 1 to 64 ASCII letters.
    ///
    /// # Errors
    /// When the text is empty, too long or holds another character.
    pub fn new(text: &str) -> Result<Self, InvalidComponentName> {
        let is_name =
            (1..=Self::LONGEST).contains(&text.len()) && text.chars().all(|character| character.is_ascii_alphabetic());
        if is_name { Ok(Self(component_name(text))) } else { Err(InvalidComponentName(text.to_owned())) }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for ComponentName {
    type Err = InvalidComponentName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for ComponentName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_singular_and_the_plural_in_any_letters_are_one_name() {
        for (singular, plural) in KNOWN {
            assert_eq!(component_name(singular), singular);
            assert_eq!(component_name(plural), singular);
            assert_eq!(component_name(&plural.to_ascii_uppercase()), singular);
        }
    }

    #[test]
    fn a_name_that_is_not_known_loses_the_ending_of_a_plural() {
        for (name, expected) in [
            ("properties", "property"),
            ("Listings", "listing"),
            ("address", "address"),
            ("status", "status"),
            ("analysis", "analysis"),
            ("task", "task"),
        ] {
            assert_eq!(component_name(name), expected);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_and_quoted() {
        for text in ["", "contact/agent", "con tact", "contact?", "kontakt\u{e4}", &"a".repeat(65)] {
            let error = ComponentName::new(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no component")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_name(text in "[A-Za-z]{1,6}(s|S|ies|us)?") {
            let name = component_name(&text);
            prop_assert_eq!(&component_name(&name), &name);
            prop_assert_eq!(ComponentName::new(&name), ComponentName::new(&text));
        }
    }
}
