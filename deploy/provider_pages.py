"""What the page of each provider in docs/providers says of its set-up: the one place where it is written.

The list under `## Set up` has what is left to do once the stack stands. A step may have commands in a `console` block. They are
written for the default stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problem import Problem

SECTION = "## Set up"
_STEP = re.compile(r"(\d+)\. (?=\S)")


@dataclass(frozen=True)
class PageStep:
    """One thing to do: in words, then as commands."""

    words: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class ProviderPage:
    """A page of docs/providers."""

    # Below the root of the repository.
    file: str
    title: str
    steps: tuple[PageStep, ...]


def providers(template: dict[str, Any]) -> list[str]:
    """The providers of a template, each by its parameter, in the order of their names."""
    declared = template["Parameters"].items()
    return sorted(name for name, parameter in declared if parameter.get("AllowedValues") == ["enabled", "disabled"])


def page(root: Path, provider: str) -> ProviderPage:
    """The page of the provider with this parameter."""
    file = f"docs/providers/{provider.lower()}.md"
    try:
        text = (root / file).read_text()
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error}") from None
    title = text.partition("\n")[0].removeprefix("# ")
    return ProviderPage(file, title, tuple(_step(item) for item in _items(file, text)))


def _items(file: str, text: str) -> list[list[str]]:
    """The lines of each element of the list, without its number and its indentation."""
    _, heading, section = text.partition(f"\n{SECTION}\n")
    items: list[list[str]] = []
    indent = 0
    for line in section.splitlines():
        found = _STEP.match(line)
        if found:
            indent = len(found[0])
            items.append([line[indent:]])
        elif items and line and not line.startswith(" " * indent):
            # The list has ended.
            break
        elif items:
            items[-1].append(line[indent:])
    if not heading or not items:
        raise Problem(f"{file} has no list of steps under `{SECTION}`.")
    return items


def _step(lines: list[str]) -> PageStep:
    words: list[str] = []
    commands: list[str] = []
    is_code = False
    for line in lines:
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code:
            words.append(line)
        elif line.startswith("$ "):
            commands.append(line[2:])
        elif commands:
            commands[-1] += f"\n{line}"
    return PageStep(" ".join(" ".join(words).split()), tuple(commands))
