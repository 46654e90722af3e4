"""docs/consume.md: its envelopes are real, its event patterns match what they say, and its policies are JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from checkout import client
from envelopes import EXAMPLES, SCHEMAS, Envelope, envelope
from examples import bus_entry
from stack.emulator import Emulator
from stack.template import ROOT

PAGE = (ROOT / "docs" / "consume.md").read_text()
BLOCKS = re.findall(r"^```json\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def section(heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    return re.split(r"^#+ ", PAGE.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def json_blocks(text: str) -> list[str]:
    return re.findall(r"^```json\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def exactly(text: str) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)


def test_every_json_block_is_json() -> None:
    assert len(BLOCKS) > 15
    for block in BLOCKS:
        json.loads(block)


def test_the_envelopes_of_the_page_are_real_ones_of_every_provider() -> None:
    shown = [exactly(block) for block in json_blocks(section("## An envelope"))]
    examples = {name: exactly((SCHEMAS / "examples" / f"{name}.json").read_text()) for name in EXAMPLES}
    names = [name for one in shown for name in EXAMPLES if examples[name] == one]
    assert len(names) == len(shown)
    assert {name.split("-")[0] for name in names} == {name.split("-")[0] for name in EXAMPLES}


# What each pattern of the page matches, in their order.
Matches = Callable[[Envelope], bool]
PATTERNS: list[tuple[str, Matches]] = [
    ("everything", lambda one: True),
    ("a provider", lambda one: one["type"].startswith("machnet.")),
    ("types", lambda one: one["type"] == "machnet.transaction_completed" or one["type"].startswith("nurturecloud.agent.")),
    ("new events", lambda one: one["outcome"] == "stored"),
    ("conflicts", lambda one: one["outcome"] == "conflict"),
    ("an account", lambda one: one["source"] == "/webhooks/machnet/main"),
    ("changes of entities", lambda one: one.get("entitychange", "late") != "late"),
    ("data", lambda one: one["type"].startswith("nowcerts.") and one.get("data", {}).get("Premium", 0) > 1250),
    ("no replay", lambda one: "replay" not in one),
]


@pytest.fixture(scope="module")
def envelopes() -> list[Envelope]:
    sent_again = envelope("machnet-stored") | {"replay": "2026-11-26"}
    return [*(envelope(name) for name in EXAMPLES), envelope("machnet-stored", "second"), sent_again]


@pytest.mark.parametrize("number", range(len(PATTERNS)), ids=[name for name, _ in PATTERNS])
def test_each_event_pattern_matches_what_the_page_says(account: Emulator, envelopes: list[Envelope], number: int) -> None:
    patterns = json_blocks(section("### Event patterns"))
    assert len(patterns) == len(PATTERNS)
    events, (_, is_meant) = client(account, "events"), PATTERNS[number]
    answers = set()
    for written in envelopes:
        matches = events.test_event_pattern(EventPattern=patterns[number], Event=json.dumps(bus_event(written)))["Result"]
        assert matches == is_meant(written), written["id"]
        answers.add(matches)
    assert number == 0 or answers == {True, False}


def bus_event(written: Envelope) -> dict[str, Any]:
    """The event that EventBridge makes of an entry."""
    entry = bus_entry(written)
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": "111122223333",
        "time": "2026-11-21T09:30:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": json.loads(entry["Detail"]),
    }


def statements() -> Iterator[dict[str, Any]]:
    for block in BLOCKS:
        document = json.loads(block)
        yield from document.get("Statement", [document] if "Effect" in document else [])


def test_no_policy_of_the_page_allows_more_than_it_names() -> None:
    found = list(statements())
    assert len(found) == 5
    for statement in found:
        assert statement["Effect"] == "Allow" and "*" not in statement["Action"], statement
        assert statement.get("Resource") != "*" and statement.get("Principal") != "*", statement
