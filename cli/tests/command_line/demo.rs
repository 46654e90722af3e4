use crate::program::{errors, output, rows, run};
use crate::snapshots::assert_printed;

#[test]
fn the_demo_shows_every_outcome_and_does_so_again_on_the_same_data() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let run_demo = || {
        let demo = run(&data, &["demo", "--exit", "--listen", "127.0.0.1:0"]);
        assert!(demo.status.success(), "{}{}", output(&demo), errors(&demo));
        assert_printed("demo", &data, &output(&demo));
    };
    run_demo();
    assert_printed("events", &data, &output(&run(&data, &["events"])));
    run_demo();

    let listed = run(&data, &["events", "--outcome", "conflict", "--json"]);
    let text = output(&listed);
    let conflicts: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(conflicts.len(), 2, "{text}");
    assert!(conflicts.iter().all(|entry| entry["kind"] == "conflict" && entry["provider"] == "machnet"));

    let listed = output(&run(&data, &["events", "--provider", "accredit", "--since", "1h"]));
    let outcomes: Vec<String> = rows(&listed).into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(outcomes, ["stored", "stored", "quarantined", "stored", "stored", "quarantined"], "{listed}");
}

#[test]
fn no_secret_and_no_body_is_in_the_log() {
    let parent = tempfile::tempdir().unwrap();
    let demo = run(parent.path(), &["demo", "--exit", "--listen", "127.0.0.1:0"]);
    assert!(demo.status.success());
    let log = std::fs::read_to_string(parent.path().join("demo.log")).unwrap();
    let secret = std::fs::read_to_string(parent.path().join("keys/machnet.json")).unwrap();
    let secret = secret.split('"').find(|text| text.len() == 64).unwrap();
    assert!(log.lines().count() >= 24, "{log}");
    assert!(!log.contains(secret));
    let client = std::fs::read_to_string(parent.path().join("keys/sterling-client.json")).unwrap();
    let secret = client.split('"').find(|text| text.len() == 43).unwrap();
    assert!(!log.contains(secret) && !log.contains("eyJ") && !log.contains("supplyChange"), "{log}");
    let path_secret = std::fs::read_to_string(parent.path().join("keys/nurturecloud-path-secret")).unwrap();
    assert_eq!(path_secret.trim().len(), 43);
    assert!(!log.contains(path_secret.trim()) && !log.contains("example-realty"), "{log}");
    assert!(!output(&demo).contains(path_secret.trim()) && !errors(&demo).contains(path_secret.trim()));
    assert!(!log.contains("subscription_id") && !log.contains("BadgeExportZipFile"), "{log}");
}
