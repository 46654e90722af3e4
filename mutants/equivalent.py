"""Mutants that change nothing which could be seen, with the reason of each."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

from switches import Mutant

EQUIVALENT = "mutants/equivalent.toml"


def keys(mutants: list[Mutant]) -> dict[int, str]:
    """A name of each that stays when lines move: file, change and function, and which of several that are the same."""
    seen: Counter[str] = Counter()
    named = {}
    for mutant in sorted(mutants, key=lambda mutant: (mutant.file, mutant.start, mutant.number)):
        key = re.sub(r"^(\S+?):\d+:\d+:", r"\1:", mutant.name)
        seen[key] += 1
        named[mutant.number] = key if seen[key] == 1 else f"{key} ({seen[key]})"
    return named


class Equivalents:
    def __init__(self, mutants: set[str]):
        self.mutants = mutants

    @classmethod
    def read(cls, path: Path) -> Equivalents:
        document = tomllib.loads(path.read_text())
        mutants = [mutant for entry in document["equivalent"] for mutant in entry["mutants"]]
        twice = [mutant for mutant, count in Counter(mutants).items() if count > 1]
        if twice or not all(entry["reason"].strip() for entry in document["equivalent"]):
            raise ValueError(f"{path}: each mutant is named once, and has a reason; twice there are {twice}")
        return cls(set(mutants))

    def __contains__(self, key: str) -> bool:
        return key in self.mutants

    def unknown(self, known: set[str]) -> list[str]:
        return sorted(self.mutants - known)
