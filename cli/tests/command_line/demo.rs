use crate::program::{errors, output, rows, run};

/// ProviderName, answer and outcome of every delivery, as the demo must print them.
const FATES: [[&str; 3]; 37] = [
    ["accredit", "200", "stored"],
    ["accredit", "200", "duplicate"],
    ["accredit", "200", "duplicate"],
    ["accredit", "200", "stored"],
    ["accredit", "200", "quarantined"],
    ["accredit", "400", "refused"],
    ["accredit", "400", "refused"],
    ["machnet", "200", "stored"],
    ["machnet", "200", "duplicate"],
    ["machnet", "200", "repeat"],
    ["machnet", "200", "conflict"],
    ["machnet", "200", "quarantined"],
    ["machnet", "409", "refused"],
    ["machnet", "401", "refused"],
    ["nurturecloud", "200", "stored ×2"],
    ["nurturecloud", "200", "stored, quarantined"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "duplicate"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "stored"],
    ["nurturecloud", "200", "quarantined"],
    ["nurturecloud", "401", "refused"],
    ["sterling", "200", "token"],
    ["sterling", "200", "stored ×2"],
    ["sterling", "200", "duplicate ×2"],
    ["sterling", "200", "stored, quarantined"],
    ["sterling", "200", "quarantined"],
    ["sterling", "401", "refused"],
    ["sterling", "200", "token"],
    ["sterling", "200", "stored"],
    ["sterling", "401", "refused"],
    ["sterling", "401", "refused"],
    ["sterling", "401", "refused"],
];

#[test]
fn the_demo_shows_every_fate_and_does_so_again_on_the_same_data() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    for _ in 0..2 {
        let demo = run(&data, &["demo", "--exit", "--listen", "127.0.0.1:0"]);
        let text = output(&demo);
        assert!(demo.status.success(), "{text}{}", errors(&demo));
        let rows = rows(&text);
        let fates: Vec<[&str; 3]> = rows.iter().map(|row| [&*row[1], &*row[3], &*row[4]]).collect();
        assert_eq!(fates, FATES, "{text}");
        let remarks: Vec<&str> = rows.iter().map(|row| &*row[5]).collect();
        assert!(remarks[3].ends_with("unsigned hint: same job id as no. 1"), "{text}");
        assert_eq!(remarks[5..7], ["signature-mismatch", "signature-missing"], "{text}");
        assert_eq!(
            remarks[9..12],
            ["same state as no. 8", "kept beside no. 8", "the member \"id\" is missing"],
            "{text}"
        );
        assert_eq!(remarks[14], "created the entity (version 1)", "{text}");
        assert_eq!(remarks[15], "created the entity (version 1); the member \"businessId\" is missing", "{text}");
        assert_eq!(
            remarks[16..23],
            [
                "created the entity (version 1)",
                "changed the entity (version 2)",
                "changed the entity (version 3)",
                "same as no. 19",
                "deleted the entity (version 5)",
                "late: something newer is known, or the entity is gone",
                "revived the entity (version 7)",
            ],
            "{text}"
        );
        assert!(remarks[23].starts_with("merged the entity into ") && remarks[23].ends_with("(version 2)"), "{text}");
        assert_eq!(remarks[24], "the member \"state\" is not Created, Updated, Current or Deleted", "{text}");
        assert_eq!(remarks[25], "path-secret-mismatch", "{text}");
        assert_eq!(remarks[26], "valid for 7200 s", "{text}");
        assert!(remarks[29].contains("the member \"code\" is missing"), "{text}");
        assert_eq!(remarks[30], "the delivery holds no event", "{text}");
        assert_eq!(remarks[31], "token-expired", "{text}");
        assert_eq!(remarks[34..], ["token-invalid", "token-invalid", "token-missing"], "{text}");
        assert!(text.contains("Nothing left on the queue."), "{text}");
    }

    let listed = run(&data, &["events", "--outcome", "conflict", "--json"]);
    let text = output(&listed);
    let conflicts: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(conflicts.len(), 2, "{text}");
    assert!(conflicts.iter().all(|entry| entry["kind"] == "conflict" && entry["provider"] == "machnet"));

    let listed = output(&run(&data, &["events", "--provider", "accredit", "--since", "1h"]));
    let outcomes: Vec<String> = rows(&listed).into_iter().map(|row| row[2].clone()).collect();
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
