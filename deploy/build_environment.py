"""The environment in which `sam build` compiles the functions: our tools, no path of this machine in a binary, and the list of its
dependencies in each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

# What paths of this machine become in panic messages and the like.
SOURCES, DEPENDENCIES = "/webhook-intake", "/cargo"

# The permissions of a binary are in its zip file, and so in its digest.
UMASK = 0o022


def build_environment(checkout: Path, tools: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment`, with what a build of `checkout` needs beside it.

    SAM runs `cargo lambda build` and leaves its environment alone. cargo-lambda sets `build.rustflags`, which the variable
    CARGO_BUILD_RUSTFLAGS adds to; RUSTFLAGS would replace it.
    """
    home = environment.get("CARGO_HOME") or str(Path(environment.get("HOME", "/")) / ".cargo")
    paths = os.pathsep.join([str(tools / "build" / "bin"), str(tools / "auditable" / "bin"), environment["PATH"]])
    return {
        **environment,
        "PATH": paths,
        "SAM_CLI_TELEMETRY": "0",
        "CARGO_BUILD_RUSTFLAGS": " ".join([*_remapped({home: DEPENDENCIES, str(checkout): SOURCES})]),
        # As `cargo auditable` does for the cargo that it runs. The name without a path is part of what a binary is made of.
        "RUSTC_WORKSPACE_WRAPPER": "cargo-auditable",
        "CARGO_AUDITABLE_ORIG_ARGS": json.dumps({"offline": False, "locked": True, "frozen": False, "config": []}),
    }


def _remapped(names: dict[str, str]) -> list[str]:
    """The flags; cargo would split one at a space, so a folder with a space in its name stays as it is.

    Of several that fit, rustc takes the last one, so a folder comes before those that it holds.
    """
    return [f"--remap-path-prefix={path}={name}" for path, name in sorted(names.items()) if not any(map(str.isspace, path))]
