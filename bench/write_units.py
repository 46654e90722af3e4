"""DynamoDB's write units of an event, which the tests count from the calls that the functions make."""

from __future__ import annotations

import tomllib
from pathlib import Path

from table import Row

MEASURED = Path(__file__).resolve().parents[1] / "deploy" / "measured.toml"
PREFIX = "delivery-"


def rows(measured: dict[str, dict]) -> list[Row]:
    """Of a delivery with one event: its event with aliases and indexes, and all with the record of the delivery."""
    found = []
    for name, usage in measured.items():
        if name.startswith(PREFIX) and "write_units" in usage:
            provider = name.removeprefix(PREFIX)
            found.append(Row(f"{provider}, its event", "write units", [usage["event_write_units"]]))
            found.append(Row(f"{provider}, with the record", "write units", [usage["write_units"] + usage["index_write_units"]]))
    return found


def counted() -> list[Row]:
    return rows(tomllib.loads(MEASURED.read_text()))
