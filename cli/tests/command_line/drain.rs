use crate::program::{errors, output, program, run};

#[test]
fn a_drain_that_nobody_told_where_to_connect_says_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let drained = run(&data, &["drain"]);
    assert!(!drained.status.success());
    let said = errors(&drained);
    assert!(said.contains("give --connection-string and --queue") && said.contains("keys/nowcerts.json"), "{said}");
}

#[test]
fn a_broker_that_is_not_there_is_a_failure_that_shows_no_password() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let drained = program(&data, &["drain", "--queue", "events"])
        .env("NOWCERTS_CONNECTION_STRING", "host=127.0.0.1:1;username=agency;password=hush-hush")
        .output()
        .unwrap();
    let (said, told) = (errors(&drained), output(&drained));
    assert!(!drained.status.success());
    assert!(told.starts_with("NowCerts: cannot-consume (broker-unreachable). 0 messages came"), "{told}");
    assert!(told.contains("Nothing left on our queue."), "{told}");
    assert!(said.contains("the broker cannot be reached; check host and port"), "{said}");
    assert!(!said.contains("hush") && !told.contains("hush"), "{said}{told}");
}
