//! The names of domain components. URLs and notifications have them in the singular, subscriptions in the plural.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// Names whose singular and plural the rule of [`component_name`] does not bring together, or would not spell as English does;
/// and those that NurtureCloud's own pages show.
const KNOWN: [(&str, &str); 34] = [
    ("agency", "agencies"),
    ("agent", "agents"),
    ("appointment", "appointments"),
    ("contact", "contacts"),
    // Singulars in -s.
    ("alias", "aliases"),
    ("analysis", "analyses"),
    ("atlas", "atlases"),
    ("bias", "biases"),
    ("canvas", "canvases"),
    ("crisis", "crises"),
    ("diagnosis", "diagnoses"),
    ("gas", "gases"),
    ("lens", "lenses"),
    ("news", "news"),
    ("series", "series"),
    ("species", "species"),
    // Singulars in -e and -u that the rule would write otherwise.
    ("cache", "caches"),
    ("calorie", "calories"),
    ("canoe", "canoes"),
    ("cookie", "cookies"),
    ("excuse", "excuses"),
    ("menu", "menus"),
    ("movie", "movies"),
    ("niche", "niches"),
    ("pie", "pies"),
    ("prairie", "prairies"),
    ("rookie", "rookies"),
    ("selfie", "selfies"),
    ("shoe", "shoes"),
    ("tie", "ties"),
    ("zombie", "zombies"),
    // Plurals of another kind.
    ("child", "children"),
    ("person", "people"),
    ("quiz", "quizzes"),
];

/// The canonical name of a component, in whichever form and case it is written: lower-case, and singular where English spelling
/// determines it.
///
/// A name that is in neither column of the known names loses the `s` of a plural (not that of `ss` and `us`), and then one of the endings
/// that a plural leaves open is chosen for both: `y` and not `ie` (property), no `e` after `ss`, `x`, `ch`, `sh`, `tz`, `zz`, `o`
/// (address, box, branch, hero), an `e` after another `z` (size), `us` and not `u` or `use` (status). So both forms of every name
/// become one name, except of a singular in another lone `s` that isn't known. Names that differ in more than these endings stay
/// different.
#[must_use]
pub fn component_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    known(&name).map(str::to_owned).unwrap_or_else(|| {
        let singular = with_one_ending(without_plural_s(&name));
        known(&singular).map_or(singular.clone(), str::to_owned)
    })
}

fn known(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(singular, plural)| [*singular, *plural].contains(&name)).map(|(singular, _)| *singular)
}

fn without_plural_s(name: &str) -> &str {
    if name.ends_with("ss") || ends_in_u(name.strip_suffix('s').unwrap_or_default()) {
        return name;
    }
    name.strip_suffix('s').filter(|rest| !rest.is_empty()).unwrap_or(name)
}

/// Whether it ends in a `u` that is not part of `au` or `ou`: houses and bureaus are plain plurals, statuses are not.
fn ends_in_u(name: &str) -> bool {
    name.ends_with('u') && !name.ends_with("au") && !name.ends_with("ou")
}

fn with_one_ending(name: &str) -> String {
    const NO_E_AFTER: [&str; 7] = ["ss", "x", "ch", "sh", "tz", "zz", "o"];
    if let Some(stem) = name.strip_suffix("ie") {
        return format!("{stem}y");
    }
    if let Some(stem) = name.strip_suffix('e')
        && (NO_E_AFTER.iter().any(|ending| stem.ends_with(ending)) || stem.strip_suffix('s').is_some_and(ends_in_u))
    {
        return stem.to_owned();
    }
    if ends_in_u(name) {
        return format!("{name}s");
    }
    if name.ends_with('z') && !name.ends_with("tz") && !name.ends_with("zz") {
        return format!("{name}e");
    }
    name.to_owned()
}

/// A component's canonical name, as used in URLs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ComponentName(String);

/// Not a valid component name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no component; write letters only, such as contact or contacts")]
pub struct InvalidComponentName(String);

impl ComponentName {
    /// Maximum length of a name, in letters.
    const MAX_LETTERS: usize = 64;

    /// Reads a name in the singular or the plural: 1 to 64 ASCII letters.
    ///
    /// # Errors
    /// When the text is empty, too long or contains another character.
    pub fn new(text: &str) -> Result<Self, InvalidComponentName> {
        let name = component_name(text);
        let is_short = |name: &str| (1..=Self::MAX_LETTERS).contains(&name.len());
        let is_name =
            is_short(text) && is_short(&name) && text.chars().all(|character| character.is_ascii_alphabetic());
        if is_name { Ok(Self(name)) } else { Err(InvalidComponentName(text.to_owned())) }
    }

    /// The name as text.
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
    fn both_forms_of_a_name_that_is_not_known_are_its_singular() {
        for (singular, plural) in [
            ("property", "properties"),
            ("listing", "Listings"),
            ("survey", "surveys"),
            ("address", "addresses"),
            ("business", "businesses"),
            ("box", "boxes"),
            ("branch", "branches"),
            ("wish", "wishes"),
            ("status", "statuses"),
            ("bonus", "bonuses"),
            ("house", "houses"),
            ("clause", "clauses"),
            ("lease", "leases"),
            ("case", "cases"),
            ("size", "sizes"),
            ("photo", "photos"),
            ("hero", "heroes"),
            ("bureau", "bureaus"),
            ("venue", "venues"),
            ("area", "areas"),
            ("api", "apis"),
            ("invoice", "invoices"),
        ] {
            assert_eq!(component_name(singular), singular);
            assert_eq!(component_name(plural), singular);
        }
    }

    #[test]
    fn names_that_are_different_things_stay_different() {
        for (one, other) in [
            ("plan", "plane"),
            ("prince", "princess"),
            ("new", "news"),
            ("base", "basis"),
            ("cat", "category"),
            ("lea", "lease"),
            ("tea", "tease"),
            ("user", "use"),
            ("agent", "agency"),
        ] {
            assert_ne!(component_name(one), component_name(other));
        }
    }

    #[test]
    fn an_invalid_name_is_rejected_and_quoted() {
        for text in ["", "contact/agent", "con tact", "contact?", "kontakt\u{e4}", &"a".repeat(65)] {
            let error = ComponentName::new(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no component")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_singular_and_the_plural_of_any_name_are_one_name(singular in "[a-z]{1,6}(|e|o|u|us|y|ie|z|x|ch|sh|ss|se|ze|oe)") {
            let ends = |endings: &[&str]| endings.iter().any(|ending| singular.ends_with(ending));
            let ends_in_us = ends(&["us"]) && !ends(&["aus", "ous"]);
            // A single final s looks like a plural's; `news` and the like are known.
            prop_assume!(ends(&["ss"]) || ends_in_us || !ends(&["s"]));
            let after_vowel = ends(&["ay", "ey", "iy", "oy", "uy"]);
            let plurals = match &singular[..singular.len() - 1] {
                stem if ends(&["y"]) && !after_vowel => vec![format!("{stem}ies")],
                _ if ends(&["ss", "us", "x", "z", "ch", "sh"]) => vec![format!("{singular}es")],
                _ if ends(&["o"]) => vec![format!("{singular}s"), format!("{singular}es")],
                _ => vec![format!("{singular}s")],
            };
            for plural in plurals {
                // Such as ga and gas.
                prop_assume!(known(&plural).is_none() || known(&singular).is_some());
                prop_assert_eq!(component_name(&plural), component_name(&singular), "{} and {}", plural, singular);
            }
        }

        #[test]
        fn a_name_is_its_own_name(text in "[A-Za-z]{1,6}(s|S|ies|us|uses|use|u|z|zes|oes|ches|sses|ie|ses)?") {
            let name = component_name(&text);
            prop_assert_eq!(&component_name(&name), &name);
            prop_assert_eq!(ComponentName::new(&name), ComponentName::new(&text));
        }
    }
}
