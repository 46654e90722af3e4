//! The function as Lambda starts it.

use std::process::Command;

#[test]
fn a_function_without_a_table_says_what_to_set() {
    let output = Command::new(env!("CARGO_BIN_EXE_intake-consumer"))
        .env_clear()
        .env("AWS_REGION", "us-east-1")
        .output()
        .expect("the binary starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("set TABLE"), "{error}");
}
