"""Deliveries that are hostile by their shape, or longer than one invocation, in the processor's own process.

The process is invoked as Lambda would, on stand-ins for DynamoDB and S3 whose pace a test sets.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import adversarial
import pytest
from queue_messages import SETTINGS, Record, batch, failed, neighbours, record
from stack.function_process import FunctionProcess, moment
from stack.stack import BINARIES
from stack.stand_in import Latencies, StandIn

# Memory limit of a function with 512 MB, less a margin for differences between Lambda and this machine.
MAX_PEAK_MEGABYTES = 200

# Of an invocation's time the processor keeps 1 s for its answer and begins nothing in the 2 s before.
SECONDS_KEPT = 3.0


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def processor(stand_in: StandIn, tmp_path: Path) -> Iterator[FunctionProcess]:
    with FunctionProcess(BINARIES / "processor", tmp_path / "log", stand_in.endpoint, SETTINGS) as function:
        yield function


def outcomes(processor: FunctionProcess, of: Record) -> Counter[str]:
    """How many events of a delivery have which outcome, as the line of its last receive says."""
    line = [line for line in processor.lines("record processed") if line["delivery_id"] == of.delivery_id][-1]
    counted: Counter[str] = Counter(part.partition("=")[2] for part in line["outcomes"].split(","))
    for part in filter(None, line.get("further_outcomes", "").split(",")):
        outcome, _, number = part.partition("=")
        counted[outcome] += int(number)
    return counted


def sterling(count: int) -> bytes:
    return ("[" + ",".join(f'{{"code":"c{number}"}}' for number in range(count)) + "]").encode()


def nurturecloud(count: int) -> bytes:
    entities = [{"organisationName": "o", "businessId": "b", "id": str(number)} for number in range(count)]
    return json.dumps({"domainComponentName": "agent", "state": "Updated", "payload": entities}).encode()


HOSTILE = {
    "more events than a delivery may hold": adversarial.whole_bodies()["300,000 events"],
    "941 KB around each of 70,000 events": adversarial.whole_bodies()["941 KB identifiers, 70,000 events"],
    "64 levels around 2 MiB of zeros": (
        "machnet",
        '{"id":"1","event_name":"e","payload":' + adversarial.values()["64 levels, wide below"] + "}",
    ),
    "one string of 4 MiB": ("nurturecloud", '"' + "x" * (adversarial.MAX_BODY_BYTES - 2) + '"'),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_delivery_does_not_affect_its_neighbours(
    stand_in: StandIn, processor: FunctionProcess, shape: str
) -> None:
    provider, body = HOSTILE[shape]
    hostile, others = record(stand_in, provider, body.encode()), neighbours(stand_in)
    records = [*others[:4], hostile, *others[4:]]

    answer = processor.invoke(batch(records), moment(SECONDS_KEPT + 5))

    assert [each for each in failed(answer, records) if each is not hostile] == []
    for each in others:
        assert outcomes(processor, each) == {"stored": 1}
    assert processor.peak_megabytes() < MAX_PEAK_MEGABYTES
    later = neighbours(stand_in)
    assert failed(processor.invoke(batch(later)), later) == [], "the process goes on"


def test_of_several_large_deliveries_in_one_batch_8_mib_are_open_at_once(
    stand_in: StandIn, processor: FunctionProcess
) -> None:
    stand_in.latencies = Latencies(object=0.1)
    body = '{"id":"%d","event_name":"e","payload":"' + "x" * (adversarial.MAX_BODY_BYTES - 100) + '"}'
    large = [record(stand_in, "machnet", (body % number).encode()) for number in range(8)]
    others = neighbours(stand_in)[:2]

    answer = processor.invoke(batch([*large, *others]), moment(25))

    assert failed(answer, [*large, *others]) == []
    assert stand_in.max_objects_read_at_once == 2
    assert processor.peak_megabytes() < MAX_PEAK_MEGABYTES


def test_a_long_delivery_that_ran_out_of_time_is_resumed_where_it_stopped(
    stand_in: StandIn, processor: FunctionProcess
) -> None:
    events = 1_000
    delivery, neighbour = record(stand_in, "sterling", sterling(events)), neighbours(stand_in)[0]
    stand_in.latencies = Latencies(item=0.1)

    first = processor.invoke(batch([delivery, neighbour]), moment(SECONDS_KEPT + 1.5))

    assert failed(first, [delivery, neighbour]) == [delivery]
    [line] = processor.lines("record failed")
    assert 0 < line["recorded"] < events
    [progress] = [item for item in stand_in.items() if item["kind"]["S"] == "progress"]
    assert int(progress["next_index"]["N"]) == line["recorded"]

    stand_in.latencies = Latencies()
    puts = stand_in.calls["PutItem"]
    second = processor.invoke(batch([delivery]))

    assert failed(second, [delivery]) == []
    assert outcomes(processor, delivery) == {"stored": events}
    recorded = [item for item in stand_in.items() if item.get("delivery_id", {}).get("S") == delivery.delivery_id]
    places = Counter(int(item["index"]["N"]) for item in recorded if item["kind"]["S"] == "event")
    assert places == dict.fromkeys(range(events), 1)
    assert all(puts == 1 for key, puts in stand_in.accepted_puts.items() if key[2] == "event"), "each of them once"
    # The rest, the record of the delivery, and the progress of one that is done.
    assert stand_in.calls["PutItem"] - puts == events - line["recorded"] + 2


def test_the_entities_of_a_long_delivery_are_read_several_in_a_call(stand_in: StandIn, processor: FunctionProcess) -> None:
    events = 400
    stand_in.latencies = Latencies(item=0.004, transaction=0.010)
    delivery = record(stand_in, "nurturecloud", nurturecloud(events))

    assert failed(processor.invoke(batch([delivery])), [delivery]) == []

    assert outcomes(processor, delivery) == {"stored": events}
    assert stand_in.calls["TransactWriteItems"] == events, "no version was out of date"
    assert stand_in.calls["BatchGetItem"] + stand_in.calls["GetItem"] < events / 3


def test_the_reads_of_a_batch_share_a_call(stand_in: StandIn, processor: FunctionProcess) -> None:
    body = b'{"id":"%d","event_name":"e","resource_id":"%d"}'
    records = [record(stand_in, "machnet", body % (number, number)) for number in range(10)]

    assert failed(processor.invoke(batch(records)), records) == []

    assert (stand_in.calls["BatchGetItem"], stand_in.calls["GetItem"]) == (1, 0)
