//! Settings of the resync.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::str::FromStr;

use intake_providers::nurturecloud::component::ComponentName;
use intake_providers::nurturecloud::resync::{BaseUrl, BusinessId, ResyncPlan};

use super::{ConfigProblems, Reader};
use crate::resync::ResyncSettings;

/// Maximum rate that can be set, in calls per minute.
pub const MAX_CALLS_PER_MINUTE: u32 = 6_000;

/// Maximum lookback that can be set, in days.
pub const MAX_LOOKBACK_DAYS: u16 = 3_650;

/// Settings of the resync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResyncConfig {
    /// `NURTURECLOUD_BASE_URL`: where the Data API is, with the path before `/business`.
    pub base_url: BaseUrl,
    /// `SECRET_ID`: the name or ARN of the secret with client id and client secret.
    pub secret_id: String,
    /// `RESYNC_BUSINESSES` and `RESYNC_COMPONENTS`: what a scheduled run asks for.
    pub plan: ResyncPlan,
    /// `ENTITIES_TABLE`: the table that keeps the resume point.
    pub entities_table: String,
    /// The flow's own settings: `RESYNC_CALLS_PER_MINUTE` and `RESYNC_LOOKBACK_DAYS`.
    pub settings: ResyncSettings,
}

impl ResyncConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(&variable);
        let defaults = ResyncSettings::default();
        let base_url = base_url(&mut reader);
        let secret_id = reader.required("SECRET_ID", "the name or ARN of the secret with client id and client secret");
        let plan = plan(&mut reader);
        let entities_table = reader.required("ENTITIES_TABLE", "the name of the table for the resume point");
        let settings = ResyncSettings {
            calls_per_minute: NonZeroU32::new(reader.number(
                "RESYNC_CALLS_PER_MINUTE",
                defaults.calls_per_minute.get(),
                1..=MAX_CALLS_PER_MINUTE,
            ))
            .unwrap_or(defaults.calls_per_minute),
            lookback_days: reader.number("RESYNC_LOOKBACK_DAYS", defaults.lookback_days, 0..=MAX_LOOKBACK_DAYS),
        };
        let config =
            base_url.zip(plan).map(|(base_url, plan)| Self { base_url, secret_id, plan, entities_table, settings });
        reader.finish(config)
    }
}

/// The base URL; a problem is noted when there is none. Its text is never repeated, because it may hold credentials.
fn base_url(reader: &mut Reader<'_>) -> Option<BaseUrl> {
    let name = "NURTURECLOUD_BASE_URL";
    let text = reader.required(name, "the url of nurturecloud's api, such as https://HOST/v1");
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|error| reader.add_problem(format!("{name} cannot be used: {error}"))).ok()
}

/// The plan; a problem is noted when there is none.
fn plan(reader: &mut Reader<'_>) -> Option<ResyncPlan> {
    let before = reader.problem_count();
    let businesses: Vec<BusinessId> =
        listed(reader, "RESYNC_BUSINESSES", "the ids of the businesses to ask for, separated by commas");
    let components: Vec<ComponentName> =
        listed(reader, "RESYNC_COMPONENTS", "the components to ask for, separated by commas, such as contact,agent");
    if reader.problem_count() > before {
        return None;
    }
    ResyncPlan::everything(&businesses, &components, None)
        .map_err(|error| reader.add_problem(format!("RESYNC_BUSINESSES and RESYNC_COMPONENTS: {error}")))
        .ok()
}

fn listed<T>(reader: &mut Reader<'_>, name: &str, meaning: &str) -> Vec<T>
where
    T: FromStr,
    T::Err: Display,
{
    let text = reader.required(name, meaning);
    let mut listed = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match item.parse() {
            Ok(item) => listed.push(item),
            Err(error) => reader.add_problem(format!("{name}: {error}")),
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<ResyncConfig, ConfigProblems> {
        let usual = [
            ("NURTURECLOUD_BASE_URL", "https://api.example.com/v1"),
            ("SECRET_ID", "nurturecloud"),
            ("RESYNC_BUSINESSES", "b1, b2,"),
            ("RESYNC_COMPONENTS", "contacts,Agent"),
            ("ENTITIES_TABLE", "entities"),
        ];
        ResyncConfig::from_environment(|name| {
            let of = |pairs: &[(&str, &str)]| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            of(changes).or_else(|| of(&usual))
        })
    }

    #[test]
    fn businesses_and_components_are_lists_and_the_rest_has_defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(config.settings, ResyncSettings::default());
        assert_eq!((config.settings.calls_per_minute.get(), config.settings.lookback_days), (30, 7));
        let ResyncPlan::Everything { pairs, since: None } = config.plan else { panic!("{:?}", config.plan) };
        let pairs: Vec<String> =
            pairs.iter().map(|pair| format!("{} {}", pair.business_id.as_str(), pair.component)).collect();
        assert_eq!(pairs, ["b1 contact", "b1 agent", "b2 contact", "b2 agent"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let problems = read(&[
            ("NURTURECLOUD_BASE_URL", "http://nobody:else@api.example.com"),
            ("SECRET_ID", ""),
            ("RESYNC_BUSINESSES", "b1,b 2,.."),
            ("RESYNC_COMPONENTS", "con-tact"),
            ("ENTITIES_TABLE", " "),
            ("RESYNC_CALLS_PER_MINUTE", "0"),
            ("RESYNC_LOOKBACK_DAYS", "-1"),
        ])
        .unwrap_err()
        .to_string();
        for expected in [
            "NURTURECLOUD_BASE_URL cannot be used: the base url must be of https",
            "SECRET_ID is not set",
            "RESYNC_BUSINESSES: \"b 2\" is no id",
            "RESYNC_BUSINESSES: \"..\" is no id",
            "RESYNC_COMPONENTS: \"con-tact\" is no component",
            "ENTITIES_TABLE is not set",
            "RESYNC_CALLS_PER_MINUTE is \"0\" and should be a whole number from 1 to 6000",
            "RESYNC_LOOKBACK_DAYS is \"-1\" and should be a whole number from 0 to 3650",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
        assert!(!problems.contains("nobody") && !problems.contains("name at least one"), "{problems}");
    }

    #[test]
    fn a_list_of_nothing_and_a_missing_url_are_problems_too() {
        let problems = read(&[("RESYNC_COMPONENTS", ","), ("NURTURECLOUD_BASE_URL", "")]).unwrap_err().to_string();
        assert!(problems.contains("NURTURECLOUD_BASE_URL is not set"), "{problems}");
        assert!(problems.contains("name at least one component"), "{problems}");
    }
}
