use intake_aws::operator::Version;

use super::super::check::Verdict;
use super::*;

fn active() -> DeployedFunction {
    DeployedFunction {
        logical_id: "MachnetFunction".to_owned(),
        name: "hooks-MachnetFunction-1".to_owned(),
        latest: Some(Update::Succeeded),
        live: Some(Version { number: "7".to_owned(), readiness: Readiness::Active }),
    }
}

fn version(readiness: Readiness) -> Option<Version> {
    Some(Version { number: "7".to_owned(), readiness })
}

#[test]
fn functions_that_can_be_invoked_are_one_check() {
    let checks = judge(&[active(), active()]);
    assert_eq!(checks, [Check::well("functions", "all 2 can be invoked")]);
}

#[test]
fn a_function_that_is_not_well_is_named_with_the_cause() {
    let reason = "The role is missing".to_owned();
    for (function, verdict, finding) in [
        (
            DeployedFunction { latest: None, live: None, ..active() },
            Verdict::Wrong,
            "hooks-MachnetFunction-1 was deleted by hand",
        ),
        (
            DeployedFunction { live: None, ..active() },
            Verdict::Wrong,
            "it has no alias live, or no version of that name",
        ),
        (
            DeployedFunction { live: version(Readiness::Failed { reason: reason.clone() }), ..active() },
            Verdict::Wrong,
            "its version 7 cannot be invoked: The role is missing",
        ),
        (
            DeployedFunction { live: version(Readiness::Pending), ..active() },
            Verdict::Notice,
            "its version 7 is being created",
        ),
        (
            DeployedFunction { live: version(Readiness::Inactive), ..active() },
            Verdict::Notice,
            "its version 7 was idle for weeks",
        ),
        (
            DeployedFunction { latest: Some(Update::Failed { reason }), ..active() },
            Verdict::Wrong,
            "its latest change failed, and version 7 still runs: The role is missing",
        ),
        (DeployedFunction { latest: Some(Update::InProgress), ..active() }, Verdict::Notice, "it is being changed"),
    ] {
        let checks = judge(&[active(), function]);
        let [check] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!((check.subject.as_str(), check.verdict), ("function MachnetFunction", verdict), "{check:?}");
        assert!(check.finding.starts_with(finding), "{check:?}");
        assert!(verdict == Verdict::Notice || check.remedy.is_some(), "{check:?}");
    }
}

const ALIAS: &str = "arn:aws:lambda:eu-west-1:1:function:hooks-ProcessorFunction-1:live";

fn processing() -> Mapping {
    Mapping {
        state: "Enabled".to_owned(),
        function_arn: ALIAS.to_owned(),
        last_result: Some("OK".to_owned()),
        batch_size: Some(10),
        maximum_concurrency: Some(2),
        reports_failures: true,
    }
}

fn publishing() -> Mapping {
    let function_arn = ALIAS.replace("Processor", "Publisher");
    Mapping { function_arn, batch_size: Some(100), maximum_concurrency: None, ..processing() }
}

/// The check of the processor's, beside one of the publisher's that is well.
fn check_of(mapping: Option<Mapping>) -> Check {
    let source = |id: &str, uuid: &str, mapping| EventSource {
        alias: Some(LIVE),
        is_by_hand: false,
        logical_id: id.to_owned(),
        uuid: uuid.to_owned(),
        mapping,
    };
    let sources = [
        source("PublisherFunctionNewEvents", "u-2", Some(publishing())),
        source("ProcessorFunctionDeliveries", "u-1", mapping),
    ];
    let [processor, publisher] = &event_sources(&sources, Some("2"))[..] else { panic!("two checks were expected") };
    assert_eq!(publisher.verdict, Verdict::Well, "{publisher:?}");
    processor.clone()
}

#[test]
fn an_event_source_that_works_as_the_template_says_is_well() {
    let check = check_of(Some(processing()));
    assert_eq!(check, Check::well("event source mapping ProcessorFunctionDeliveries", "enabled; the last result: OK"));
    for last_result in [None, Some("No records processed".to_owned())] {
        assert_eq!(check_of(Some(Mapping { last_result, ..processing() })).verdict, Verdict::Well);
    }
}

#[test]
fn an_event_source_that_is_not_well_is_named_with_the_command_that_puts_it_right() {
    let update = "aws lambda update-event-source-mapping --uuid u-1 ";
    for (mapping, finding, remedy) in [
        (None, "it was deleted by hand", "docs/operations.md#a-part-that-was-deleted-by-hand".to_owned()),
        (
            Some(Mapping { state: "Disabled".to_owned(), ..processing() }),
            "it is disabled",
            format!("{update}--enabled`"),
        ),
        (
            Some(Mapping { last_result: Some("PROBLEM: Function call failed".to_owned()), ..processing() }),
            "the last batch failed: PROBLEM: Function call failed",
            "log lines say why".to_owned(),
        ),
        (
            Some(Mapping { reports_failures: false, ..processing() }),
            "its settings are not the template's: it does not ask which messages of a batch failed, so those are taken",
            format!("{update}--function-response-types ReportBatchItemFailures`"),
        ),
        (
            Some(Mapping { function_arn: ALIAS.replace(":live", ""), ..processing() }),
            "its settings are not the template's: it does not invoke the alias live",
            format!("{update}--function-name {ALIAS}`"),
        ),
        (
            Some(Mapping { batch_size: Some(1), maximum_concurrency: None, ..processing() }),
            "its settings are not the template's: the batch size is 1 and not 10; the maximum concurrency is none and not 2",
            format!("{update}--batch-size 10 --scaling-config MaximumConcurrency=2`"),
        ),
    ] {
        let check = check_of(mapping);
        assert_eq!(check.verdict, Verdict::Wrong, "{check:?}");
        assert!(check.finding.starts_with(finding), "{check:?}");
        assert!(check.remedy.as_ref().unwrap().contains(&remedy), "{check:?}");
    }
    let changing = check_of(Some(Mapping { state: "Updating".to_owned(), ..processing() }));
    assert_eq!(
        (changing.verdict, changing.finding.as_str()),
        (Verdict::Notice, "it is being changed: its state is Updating")
    );
}

#[test]
fn an_event_source_that_was_made_by_hand_is_told() {
    let source = EventSource {
        logical_id: "PublisherFunctionNewEvents".to_owned(),
        uuid: "u-3".to_owned(),
        mapping: Some(publishing()),
        alias: Some(LIVE),
        is_by_hand: true,
    };
    let check = event_sources(&[source], None).pop().unwrap();
    assert_eq!(check.verdict, Verdict::Well);
    assert!(check.finding.contains("u-3, which was made by hand"), "{check:?}");
}

#[test]
fn a_stack_that_lacks_an_event_source_is_wrong() {
    let verdicts: Vec<_> = event_sources(&[], Some("2")).iter().map(|check| check.verdict).collect();
    assert_eq!(verdicts, [Verdict::Wrong, Verdict::Wrong]);
}

#[test]
fn the_template_has_these_event_sources_with_these_settings_and_this_alias() {
    let template = include_str!("../../../../template.yaml");
    assert!(template.contains(&format!("\n    AutoPublishAlias: {LIVE}\n")));
    assert_eq!(template.matches("\n            BatchSize: ").count(), TEMPLATES.len());
    for Template { logical_id, batch_size, has_maximum_concurrency, .. } in TEMPLATES {
        let (function, event) = logical_id.split_once("Function").unwrap();
        let (_, source) = template.split_once(&format!("\n  {function}Function:\n")).unwrap();
        let (source, _) = source.split_once("\n\n").unwrap();
        let (_, source) = source.split_once(&format!("\n        {event}:\n")).unwrap();
        for setting in [&format!("BatchSize: {batch_size}\n"), "FunctionResponseTypes: [ReportBatchItemFailures]"] {
            assert!(source.contains(setting), "{logical_id}: {setting}");
        }
        let maximum_concurrency = source.contains("MaximumConcurrency: !Ref ProcessorMaximumConcurrency");
        assert_eq!(maximum_concurrency, has_maximum_concurrency, "{logical_id}");
    }
}
