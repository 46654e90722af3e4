"""Filter patterns for JSON lines, as CloudWatch Logs reads them.

Source: "Using filter patterns to match terms in JSON log events" in the CloudWatch Logs user guide. Array elements and
regular expressions are left out because this stack uses none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
      (?P<punctuation>\|\||&&|!=|<=|>=|[=<>(){}])
    | (?P<selector>\$(?:\.[A-Za-z0-9_-]+)+)
    | (?P<quoted>"[^"]*")
    | (?P<word>[A-Za-z0-9_.*+-]+)
    )""",
    re.VERBOSE,
)
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
# What needs no quotes. A number in such a form is compared as a number.
PLAIN = re.compile(r"[A-Za-z0-9*]+")

Line = dict[str, Any]


class FilterPatternError(Exception):
    """Why CloudWatch Logs would refuse a pattern, or why it is not clear what it would match."""


@dataclass
class FilterPattern:
    matches: Callable[[Line], bool]
    # The members of a line that it looks at.
    selectors: set[str] = field(default_factory=set)


def parse(text: str) -> FilterPattern:
    return _Parser(text).pattern()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.selectors: set[str] = set()
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            token = TOKEN.match(text, position)
            if token is None:
                raise FilterPatternError(f"{text[position:].strip()[0]!r} means nothing in {text!r}")
            assert token.lastgroup is not None
            self._tokens.append((token.lastgroup, token[token.lastgroup]))
            position = token.end()

    def pattern(self) -> FilterPattern:
        self._demand("{")
        matches = self._any()
        self._demand("}")
        if self._tokens:
            raise FilterPatternError(f"{self._next!r} is left over in {self.text!r}")
        return FilterPattern(matches, self.selectors)

    @property
    def _next(self) -> str:
        return self._tokens[0][1] if self._tokens else "the end"

    def _take(self, *wanted: str) -> str | None:
        return self._tokens.pop(0)[1] if self._tokens and self._next in wanted else None

    def _demand(self, wanted: str) -> None:
        if not self._take(wanted):
            raise FilterPatternError(f"{wanted!r} is missing before {self._next!r} in {self.text!r}")

    def _any(self) -> Callable[[Line], bool]:
        several = [self._all()]
        while self._take("||"):
            several.append(self._all())
        return lambda line: any(matches(line) for matches in several)

    def _all(self) -> Callable[[Line], bool]:
        several = [self._one()]
        while self._take("&&"):
            several.append(self._one())
        return lambda line: all(matches(line) for matches in several)

    def _one(self) -> Callable[[Line], bool]:
        if self._take("("):
            inner = self._any()
            self._demand(")")
            return inner
        group, selector = self._tokens.pop(0) if self._tokens else ("", "the end")
        if group != "selector":
            raise FilterPatternError(f"a selector such as $.status is missing before {selector!r} in {self.text!r}")
        self.selectors.add(selector[2:])
        path = selector[2:].split(".")
        if self._take("NOT"):
            self._demand("EXISTS")
            return lambda line: not _has(line, path)
        if self._take("IS"):
            wanted = {"NULL": None, "TRUE": True, "FALSE": False}.get(self._next, "unknown")
            if wanted == "unknown":
                raise FilterPatternError(f"IS {self._next} means nothing in {self.text!r}")
            self._tokens.pop(0)
            return lambda line: _has(line, path) and _at(line, path) is wanted
        operator = self._take("=", "!=", "<", "<=", ">", ">=")
        if not operator:
            raise FilterPatternError(f"a comparison is missing before {self._next!r} in {self.text!r}")
        return self._comparison(path, operator)

    def _comparison(self, path: list[str], operator: str) -> Callable[[Line], bool]:
        group, token = self._tokens.pop(0) if self._tokens else ("", "the end")
        if group == "word" and NUMBER.fullmatch(token):
            number = float(token)
            return lambda line: _compared(_at(line, path), operator, number, self.text)
        if operator not in {"=", "!="}:
            raise FilterPatternError(f"{operator} compares numbers only, not {token!r}, in {self.text!r}")
        if group == "quoted":
            wanted = token[1:-1]
        elif group == "word" and PLAIN.fullmatch(token):
            wanted = token
        else:
            raise FilterPatternError(f"{token!r} needs quotes in {self.text!r}")
        expression = re.compile(".*".join(map(re.escape, wanted.split("*"))), re.DOTALL)

        def matches(line: Line) -> bool:
            value = _at(line, path)
            # A filter is not applied to a member that the line lacks.
            return value is not None and (expression.fullmatch(str(value)) is not None) == (operator == "=")

        return matches


def _has(line: Line, path: list[str]) -> bool:
    value: Any = line
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def _at(line: Line, path: list[str]) -> Any:
    value: Any = line
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _compared(value: Any, operator: str, number: float, text: str) -> bool:
    if isinstance(value, str):
        raise FilterPatternError(f"a number is compared with the text {value!r}; quote it in {text!r}")
    if value is None:
        return False
    return {
        "=": value == number,
        "!=": value != number,
        "<": value < number,
        "<=": value <= number,
        ">": value > number,
        ">=": value >= number,
    }[operator]
