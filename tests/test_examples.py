"""The examples of consumers, as their pages deploy them: real events over a bus, a rule, a queue and Lambda."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from envelopes import EXAMPLES, Envelope, envelope
from examples import BUCKET, CODE, Account, Example, npm, record, template

LARGE = b'{"Event":"PolicyUpdated","Premium":1234.50,"Text":"' + b"x" * 300_000 + b'"}'


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(tmp_path_factory.mktemp("consumers"))
    key = envelope("nowcerts-large")["dataref"].removeprefix(f"s3://{BUCKET}/")
    account.client("s3").put_object(Bucket=BUCKET, Key=key, Body=LARGE)
    yield account
    account.emulator.stop()


@pytest.fixture(scope="module", params=sorted(CODE))
def example(request: pytest.FixtureRequest, account: Account, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return Example(account, request.param, tmp_path_factory.mktemp(request.param))


def data_bytes(written: Envelope) -> int:
    """The size of an envelope's data as the examples count it."""
    if "dataref" in written:
        return len(LARGE)
    if "data_base64" in written:
        return len("Premium: 1234.50")
    return len(json.dumps(written["data"], ensure_ascii=False, separators=(",", ":")).encode())


def counted(envelopes: list[Envelope]) -> Counter[tuple[str, str, str]]:
    """Number and bytes of the stored events by source and type."""
    totals: Counter[tuple[str, str, str]] = Counter()
    for written in envelopes:
        if written["outcome"] == "stored" and "entity" not in written:
            totals[written["source"], written["type"], "events"] += 1
            totals[written["source"], written["type"], "bytes"] += data_bytes(written)
    return totals


def test_what_is_put_on_the_bus_is_handled_once_though_it_comes_twice_and_out_of_order(
    account: Account, example: Example
) -> None:
    envelopes = [envelope(name) for name in EXAMPLES]
    sent = envelopes * 2
    random.Random(13).shuffle(sent)
    account.put(sent)
    example.send("not an event")
    example.send(json.dumps({"detail": {"id": "1", "source": "/somewhere", "deliveryid": "1", "type": "x", "outcome": "odd"}}))

    example.wait_until_handled(but=2)

    totals: Counter[tuple[str, str, str]] = Counter()
    conflicts, entities = {}, []
    for source in {written["source"] for written in envelopes}:
        for name, item in example.items(source).items():
            if name.startswith("total#"):
                totals += {(source, name.removeprefix("total#"), attribute): item[attribute] for attribute in item}  # type: ignore[operator]
            elif name.startswith("conflict#"):
                conflicts[name.removeprefix("conflict#")] = item["conflictwith"]
            elif name.startswith("entity#"):
                entities.append((name.removeprefix("entity#"), item))
    assert totals == counted(envelopes)
    assert conflicts == {written["id"]: written["conflictwith"] for written in envelopes if "conflictwith" in written}
    merged = envelope("nurturecloud-merged")
    state = {"version": merged["entityversion"], "change": "merged", "mergedinto": merged["mergedinto"]}
    assert entities == [(merged["entity"], state)]


def test_only_the_records_of_a_batch_that_fail_are_reported(account: Account, example: Example) -> None:
    name = f"batch-{example.name}"
    first, last = envelope("machnet-stored", name), envelope("accredit-stored", name)
    unavailable = envelope("nowcerts-large", name, dataref=f"s3://{BUCKET}/events/not-there")
    before, poison, middle, after = [
        *account.records([first]),
        record("poison", "not an event"),
        *account.records([unavailable, last]),
    ]

    answer = example.invoke([before, poison, middle, after])

    failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert failed == ["poison", middle["messageId"]]
    for handled in [first, last]:
        assert example.items(handled["source"])[f"total#{handled['type']}"]["events"] == 1
    assert example.items(unavailable["source"]) == {}


def test_an_event_whose_work_fails_is_not_marked_and_its_work_is_done_when_it_comes_again(
    account: Account, example: Example
) -> None:
    written = envelope("machnet-stored", f"crash-{example.name}")
    total, mark = f"total#{written['type']}", f"handled#{written['id']}"
    [record] = account.records([written])
    example.put_item(written["source"], total, events={"S": "what nothing can be added to"})

    assert example.invoke([record])["batchItemFailures"] == [{"itemIdentifier": record["messageId"]}]
    assert mark not in example.items(written["source"])

    example.delete_item(written["source"], total)
    for _ in range(2):
        assert example.invoke([record])["batchItemFailures"] == []
    assert example.items(written["source"]).keys() == {mark, total}
    assert example.items(written["source"])[total]["events"] == 1


@pytest.mark.parametrize("newest", ["changed", "deleted", "late", "revived"])
def test_the_newest_state_of_an_entity_stays_in_whatever_order_events_come(
    account: Account, example: Example, newest: str
) -> None:
    names = ["created", "changed", "deleted", "late", "revived"]
    orders = list(itertools.permutations(names[: names.index(newest) + 1]))
    for number, order in enumerate(random.Random(13).sample(orders, min(len(orders), 6))):
        versions = [envelope(f"nurturecloud-{name}", f"order-{number}-{newest}-{example.name}") for name in order]
        records = account.records(versions)
        assert example.invoke(records + records[:1])["batchItemFailures"] == []

        present = max((version for version in versions if version["entitychange"] != "late"), key=lambda one: one["entityversion"])
        [item] = example.items(present["source"]).values()
        assert (item["version"], item["change"]) == (present["entityversion"], present["entitychange"])
        assert json.loads(item.get("content", "null")) == (None if present["entitychange"] == "deleted" else present["data"])


def test_the_content_of_an_entity_may_be_beside_the_data_or_an_object(account: Account, example: Example) -> None:
    reference = "s3://payloads/events/nurturecloud/1/2"
    forms: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"entitycontent": '{"firstName":"Grace"}'}, {"content": '{"firstName":"Grace"}'}),
        ({"entitycontentref": reference}, {"contentref": reference}),
    ]
    for number, (members, kept) in enumerate(forms):
        written = envelope("nurturecloud-revived", f"content-{number}-{example.name}", **members)
        assert example.invoke(account.records([written]))["batchItemFailures"] == []
        [item] = example.items(written["source"]).values()
        assert item == {"version": 5, "change": "revived", **kept}


def test_the_templates_differ_in_how_the_function_is_built_and_run_only() -> None:
    def shared(language: str) -> dict[str, Any]:
        written = template(language)
        del written["Description"]
        function = written["Resources"]["Function"]
        function.pop("Metadata", None)
        for name in ["Handler", "Runtime"]:
            del function["Properties"][name]
        return written

    assert shared("python") == shared("rust") == shared("typescript")


def test_only_the_rule_may_send_to_the_queue_and_its_dead_letter_queue() -> None:
    # The emulator delivers whatever a queue's policy says.
    resources = template("python")["Resources"]
    queues = ["Queue", "DeadLetterQueue"]
    policy = resources["QueuePolicy"]["Properties"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert policy["Queues"] == [{"Ref": queue} for queue in queues]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": [{"Fn::GetAtt": [queue, "Arn"]} for queue in queues],
        "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}},
    }


def test_the_example_in_typescript_has_no_type_errors() -> None:
    npm("run", "check")
