use std::path::Path;

use crate::program::{output, run};

fn events() -> String {
    format!("{}/../events", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_samples_are_current() {
    let parent = tempfile::tempdir().unwrap();
    let checked = run(parent.path(), &["sample-events", "--check", "--directory", &events()]);
    assert!(checked.status.success(), "{}", output(&checked));
}

#[test]
fn a_sample_that_was_changed_is_noticed_and_rewritten() {
    let parent = tempfile::tempdir().unwrap();
    let copy = parent.path().join("events");
    std::fs::create_dir_all(copy.join("keys")).unwrap();
    for folder in ["", "keys"] {
        for file in std::fs::read_dir(Path::new(&events()).join(folder)).unwrap().map(Result::unwrap) {
            if file.path().is_file() {
                std::fs::copy(file.path(), copy.join(folder).join(file.file_name())).unwrap();
            }
        }
    }
    let directory = copy.to_str().unwrap();
    std::fs::write(copy.join("machnet.json"), "{}").unwrap();
    let checked = run(parent.path(), &["sample-events", "--check", "--directory", directory]);
    assert!(!checked.status.success());
    assert!(output(&checked).contains("machnet.json is out of date"), "{}", output(&checked));
    assert!(run(parent.path(), &["sample-events", "--directory", directory]).status.success());
    assert!(run(parent.path(), &["sample-events", "--check", "--directory", directory]).status.success());
}
