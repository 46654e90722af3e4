//! The names of NurtureCloud's components.
//!
//! Notifications and calls name them in the singular (`contact`), subscriptions in the plural (`contacts`). Both are one here.

/// The names that are documented, with their plurals.
const KNOWN: [(&str, &str); 4] =
    [("agency", "agencies"), ("agent", "agents"), ("appointment", "appointments"), ("contact", "contacts")];

/// The one name of a component: lower case and singular. For a name that isn't documented, the rule is the plain one of
/// English: `ies` becomes `y`, and one `s` falls off unless the word ends with `ss`, `us` or `is`.
#[must_use]
pub fn component_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if let Some((singular, _)) = KNOWN.iter().find(|(singular, plural)| name == *singular || name == *plural) {
        return (*singular).to_owned();
    }
    match name.strip_suffix("ies") {
        Some(stem) if !stem.is_empty() => format!("{stem}y"),
        _ if ["ss", "us", "is"].iter().any(|ending| name.ends_with(ending)) => name,
        _ => match name.strip_suffix('s') {
            Some(singular) if !singular.is_empty() => singular.to_owned(),
            _ => name,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_and_plural_are_one_name() {
        for (singular, plural) in KNOWN.into_iter().chain([("property", "properties"), ("listing", "Listings")]) {
            assert_eq!(component_name(singular), singular);
            assert_eq!(component_name(plural), singular);
        }
        for unchanged in ["business", "status", "analysis", "s"] {
            assert_eq!(component_name(unchanged), unchanged);
        }
    }
}
