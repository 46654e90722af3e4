use super::*;

fn variables<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn every_problem_is_reported_at_once() {
    let problems = IntakeConfig::from_environment(variables(&[
        ("QUEUE_URL", " "),
        ("PAYLOADS_BUCKET", "b"),
        ("DEADLINE_MILLISECONDS", "soon"),
        ("SECRET_REFRESH_SECONDS", "1"),
    ]))
    .unwrap_err()
    .to_string();
    for expected in [
        "QUEUE_URL is not set",
        "SECRET_ID is not set",
        "DEADLINE_MILLISECONDS is \"soon\" and should be a whole number from 100 to 29000",
        "SECRET_REFRESH_SECONDS is \"1\" and should be a whole number from 15 to 86400",
    ] {
        assert!(problems.contains(expected), "{problems}");
    }
    assert!(!problems.contains("PAYLOADS_BUCKET"), "{problems}");
}

#[test]
fn a_drain_without_settings_is_said_to_lack_them_all() {
    let problems = DrainConfig::from_environment(variables(&[("PREFETCH", "0"), ("IN_FLIGHT_BYTES", "1")]))
        .unwrap_err()
        .to_string();
    let missing = ["QUEUE_URL", "PAYLOADS_BUCKET", "EVENTS_TABLE", "SECRET_ID"];
    let wrong = ["PREFETCH is \"0\"", "IN_FLIGHT_BYTES is \"1\""];
    for expected in missing.into_iter().chain(wrong) {
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn each_setting_of_a_drain_is_read_or_has_its_default() {
    const REQUIRED: [(&str, &str); 4] =
        [("QUEUE_URL", "queue"), ("PAYLOADS_BUCKET", "payloads"), ("EVENTS_TABLE", "events"), ("SECRET_ID", "secret")];
    let without = DrainConfig::from_environment(variables(&REQUIRED)).unwrap();
    assert_eq!(without.settings, DrainSettings::default());

    let [queue, payloads, events, secret] = REQUIRED;
    let config = DrainConfig::from_environment(variables(&[
        queue,
        payloads,
        events,
        secret,
        ("PREFETCH", "7"),
        ("IN_FLIGHT_BYTES", "2000000"),
        ("BATCHES_IN_FLIGHT", "3"),
        ("IDLE_MILLISECONDS", "400"),
        ("MESSAGE_BUDGET", "5000"),
        ("MARGIN_SECONDS", "6"),
        ("LEASE_SECONDS", "8"),
    ]));
    let settings = DrainSettings {
        prefetch: 7,
        in_flight_bytes: 2_000_000,
        batches_in_flight: 3,
        idle: Duration::from_millis(400),
        message_budget: 5_000,
        margin: Duration::from_secs(6),
        lease: Duration::from_secs(8),
        ..DrainSettings::default()
    };
    let [queue_url, payloads_bucket, events_table, secret_id] =
        ["queue", "payloads", "events", "secret"].map(str::to_owned);
    assert_eq!(config.unwrap(), DrainConfig { queue_url, payloads_bucket, events_table, secret_id, settings });
}

#[test]
fn each_setting_of_a_webhook_and_of_the_processor_is_read() {
    let intake = IntakeConfig::from_environment(variables(&[
        ("QUEUE_URL", "queue"),
        ("PAYLOADS_BUCKET", "payloads"),
        ("SECRET_ID", "secret"),
        ("KEEP_REFUSED", "9"),
        ("DEADLINE_MILLISECONDS", "1500"),
        ("SECRET_REFRESH_SECONDS", "45"),
    ]))
    .unwrap();
    let settings = &intake.settings;
    assert_eq!((settings.deadline, settings.secret_refresh), (Duration::from_millis(1_500), Duration::from_secs(45)));
    assert_eq!((intake.queue_url.as_str(), intake.secret_id.as_str()), ("queue", "secret"));
    assert_eq!(intake.payloads_bucket, "payloads");
    assert_eq!(intake.keep_refused, Some(KeepRefused { max_per_hour: 9, bucket: "payloads".to_owned() }));

    let processor = ProcessorConfig::from_environment(variables(&[
        ("EVENTS_TABLE", "events"),
        ("ENTITIES_TABLE", "entities"),
        ("PAYLOADS_BUCKET", "payloads"),
        ("EVENT_CONCURRENCY", "3"),
        ("DELIVERY_RETENTION_DAYS", "2"),
    ]))
    .unwrap();
    let delivery_retention = Some(Duration::from_secs(172_800));
    assert_eq!(processor.settings, ProcessorSettings { event_concurrency: 3, delivery_retention });
    let names = [processor.events_table, processor.entities_table, processor.payloads_bucket];
    assert_eq!(names, ["events", "entities", "payloads"]);
}

#[test]
fn an_empty_variable_means_the_default() {
    let config = ProcessorConfig::from_environment(variables(&[
        ("EVENTS_TABLE", "events"),
        ("ENTITIES_TABLE", "entities"),
        ("PAYLOADS_BUCKET", "payloads"),
        ("EVENT_CONCURRENCY", ""),
        ("NURTURECLOUD_ORGANISATION", ""),
        ("NURTURECLOUD_BUSINESSES", " a, ,b "),
    ]))
    .unwrap();
    assert_eq!(config.settings, ProcessorSettings::default());
    let businesses = ["a".to_owned(), "b".to_owned()].into();
    assert_eq!(config.providers.nurturecloud.businesses, businesses);
    assert_eq!(config.providers.nurturecloud.organisation, None);
    assert_eq!(config.providers.machnet.repeat_window, Duration::from_secs(43_200));
}

#[test]
fn delivery_records_are_kept_for_a_number_of_days_and_not_at_all_for_none() {
    let retention = |days| {
        let config = ProcessorConfig::from_environment(move |name: &str| match name {
            "DELIVERY_RETENTION_DAYS" => Some(str::to_owned(days)),
            "EVENTS_TABLE" | "ENTITIES_TABLE" | "PAYLOADS_BUCKET" => Some("there".to_owned()),
            _ => None,
        });
        config.map(|config| config.settings.delivery_retention)
    };
    assert_eq!(retention("").unwrap(), Some(Duration::from_secs(2_592_000)));
    assert_eq!(retention("7").unwrap(), Some(Duration::from_secs(604_800)));
    assert_eq!(retention("0").unwrap(), None);
    assert!(retention("-1").unwrap_err().to_string().contains("DELIVERY_RETENTION_DAYS"));
}

#[test]
fn refused_requests_are_kept_only_if_asked_for_and_then_need_a_bucket() {
    let kept = |number: &str, bucket: &str| {
        let config = TokenEndpointConfig::from_environment(|name| {
            let known = [("SECRET_ID", "secret"), ("KEEP_REFUSED", number), ("PAYLOADS_BUCKET", bucket)];
            known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        config.map(|config| config.keep_refused)
    };
    assert_eq!(kept("", "").unwrap(), None);
    assert_eq!(kept("0", "b").unwrap(), None);
    assert_eq!(kept("20", "b").unwrap(), Some(KeepRefused { max_per_hour: 20, bucket: "b".to_owned() }));
    assert!(kept("20", "").unwrap_err().to_string().contains("PAYLOADS_BUCKET is not set"));
    assert!(kept("101", "b").unwrap_err().to_string().contains("KEEP_REFUSED is \"101\""));
}

#[test]
fn a_pointer_that_is_none_is_a_problem() {
    let settings = |pointer| {
        move |name: &str| {
            match name {
                "NOWCERTS_ID_POINTER" => Some(pointer),
                "EVENTS_TABLE" | "ENTITIES_TABLE" | "PAYLOADS_BUCKET" => Some("there"),
                _ => None,
            }
            .map(str::to_owned)
        }
    };
    let config = ProcessorConfig::from_environment(settings("/data/Id")).unwrap();
    assert_eq!(config.providers.nowcerts.id_pointer, "/data/Id".parse().ok());
    assert_eq!(ProcessorConfig::from_environment(settings("")).unwrap().providers.nowcerts.id_pointer, None);
    let problems = ProcessorConfig::from_environment(settings("$.Id")).unwrap_err().to_string();
    assert!(problems.contains("NOWCERTS_ID_POINTER is \"$.Id\" and should be a JSON pointer"), "{problems}");
}

#[test]
fn telemetry_works_with_a_level_that_it_does_not_know_and_says_so() {
    let (settings, problems) = TelemetrySettings::from_environment(variables(&[("LOG_LEVEL", "loud")]));
    assert_eq!(settings.log_level, TelemetrySettings::default().log_level);
    assert!(problems.unwrap().to_string().contains("LOG_LEVEL is \"loud\""));
}
