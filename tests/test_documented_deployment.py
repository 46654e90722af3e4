"""The deployment with cargo-lambda that docs/operations.md documents, compared with template.yaml."""

from __future__ import annotations

import re

from stack import template


def test_the_documented_commands_give_each_function_the_memory_and_timeout_of_the_template() -> None:
    page = (template.ROOT / "docs" / "operations.md").read_text()
    documented = {
        binary: (int(memory), int(timeout), environment)
        for binary, memory, timeout, environment in re.findall(
            r"^\$ cargo lambda deploy (\S+) --memory (\d+) --timeout (\d+) .* --env-file (\S+)$", page, re.MULTILINE
        )
    }

    original = template.original()
    shared = original["Globals"]["Function"]
    expected = {}
    for name, binary in template.binaries(original).items():
        function = shared | original["Resources"][name]["Properties"]
        expected[binary] = (function["MemorySize"], function["Timeout"], f"{binary}.env")
    assert documented == expected
