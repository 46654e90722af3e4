"""The envelopes in schemas/examples, read as a consumer reads them: by the CloudEvents project's own library, and checked by
another implementation of JSON Schema than the one in the crates' tests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat

SCHEMAS = Path(__file__).parent.parent / "schemas"
EXAMPLES = sorted(path.stem for path in (SCHEMAS / "examples").iterdir())


def text_of(example: str) -> str:
    return (SCHEMAS / "examples" / f"{example}.json").read_text()


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def test_there_are_examples_of_every_provider() -> None:
    providers = {path.stem for path in SCHEMAS.glob("*.json")} - {"envelope"}
    assert {example.split("-")[0] for example in EXAMPLES} == providers


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_cloudevents_library_reads_an_envelope(example: str) -> None:
    written = json.loads(text_of(example))
    event = JSONFormat().read(None, text_of(example))
    assert (event.get_specversion(), event.get_id(), event.get_source()) == ("1.0", written["id"], written["source"])
    assert event.get_type().startswith(example.split("-")[0] + ".")
    assert event.get_extension("outcome") in {"stored", "repeat", "conflict"}
    if "data" in written:
        assert event.get_data() == written["data"]
    elif "data_base64" in written:
        assert event.get_data() == base64.b64decode(written["data_base64"])
    else:
        assert event.get_extension("dataref").startswith("s3://")


def test_the_cloudevents_library_refuses_what_is_not_an_event() -> None:
    written = json.loads(text_of("machnet-stored"))
    for wrong in [{**written, "Repeat_Of": "x"}, {**written, "id": ""}, {**written, "subject": ""}]:
        with pytest.raises(CloudEventValidationError):
            JSONFormat().read(None, json.dumps(wrong))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_envelope_is_what_its_schemas_promise(example: str) -> None:
    written = json.loads(text_of(example))
    for name in ["envelope", example.split("-")[0]]:
        jsonschema.Draft7Validator.check_schema(schema(name))
        jsonschema.Draft7Validator(schema(name)).validate(written)
    for name in {path.stem for path in SCHEMAS.glob("*.json")} - {"envelope", example.split("-")[0]}:
        assert not jsonschema.Draft7Validator(schema(name)).is_valid(written), name


def test_every_source_and_id_is_that_of_one_envelope() -> None:
    written = [json.loads(text_of(example)) for example in EXAMPLES]
    keys = [(envelope["source"], envelope["id"]) for envelope in written]
    assert len(set(keys)) == len(keys)


def test_the_asyncapi_document_leads_to_every_schema() -> None:
    document = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    messages = document["components"]["messages"]
    payloads = {message["payload"]["$ref"] for message in messages.values()}
    assert payloads == {path.name for path in SCHEMAS.glob("*.json")} - {"envelope.json"}
    channel = document["channels"]["events"]["messages"]
    assert channel == {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
