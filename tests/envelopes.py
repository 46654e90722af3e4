"""The envelopes in schemas/examples, and what may be derived from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parent.parent / "schemas"
EXAMPLES = sorted(path.stem for path in (SCHEMAS / "examples").iterdir())

Envelope = dict[str, Any]


def envelope(example: str, account: str = "main", **members: Any) -> Envelope:
    """An example, under an account of a test's own and with other members, which must be what its schema promises."""
    written: Envelope = json.loads((SCHEMAS / "examples" / f"{example}.json").read_text())
    path = written["source"].rpartition("/")[0]
    written |= {"source": f"{path}/{account}", "account": account, **members}
    schema = json.loads((SCHEMAS / f"{example.split('-')[0]}.json").read_text())
    jsonschema.Draft7Validator(schema).validate(written)
    return written
