"""What the builds of the functions rest on (docs/supply-chain.md). That they are reproducible is shown by `make reproducible`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from build_environment import build_environment
from stack.template import ROOT


def test_the_release_profile_leaves_nothing_for_cargo_lambda_to_set() -> None:
    """It would build with `panic = "abort"`, and a panic in one record would take its batch along."""
    profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["release"]
    assert {"lto", "codegen-units", "strip", "panic"} <= profile.keys()
    assert profile["panic"] == "unwind"


def test_no_path_of_the_machine_is_compiled_into_a_function() -> None:
    environment = build_environment(Path("/home/me/src"), Path("/tools"), {"PATH": "/bin", "HOME": "/home/me"})
    # rustc takes the last one that fits.
    assert environment["CARGO_BUILD_RUSTFLAGS"].split() == [
        "--remap-path-prefix=/home/me/.cargo=/cargo",
        "--remap-path-prefix=/home/me/src=/webhook-intake",
    ]
    inside = build_environment(Path("/src"), Path("/tools"), {"PATH": "/bin", "CARGO_HOME": "/src/.cargo"})
    assert inside["CARGO_BUILD_RUSTFLAGS"].endswith(" --remap-path-prefix=/src/.cargo=/cargo")


def test_a_folder_with_a_space_in_its_name_is_no_flag_of_the_compiler() -> None:
    environment = build_environment(Path("/my checkouts/src"), Path("/tools"), {"PATH": "/bin", "CARGO_HOME": "/cargo"})
    assert environment["CARGO_BUILD_RUSTFLAGS"] == "--remap-path-prefix=/cargo=/cargo"


def test_each_function_is_built_with_the_list_of_its_dependencies() -> None:
    environment = build_environment(Path("/src"), Path("/tools"), {"PATH": "/bin", "HOME": "/home/me"})
    assert environment["RUSTC_WORKSPACE_WRAPPER"] == "cargo-auditable"
    assert "/tools/auditable/bin" in environment["PATH"].split(":")
    # What `cargo auditable` hands to itself; without it the compiler would not be called.
    assert json.loads(environment["CARGO_AUDITABLE_ORIG_ARGS"])["locked"] is True
