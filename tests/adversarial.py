"""Authentic bodies whose shape makes reading them as costly as it gets, as `shared/providers/tests/split_cost` has them."""

from __future__ import annotations

import string
from collections.abc import Iterator
from itertools import product

MAX_BODY_BYTES = 4 * 1024 * 1024
ROOM = MAX_BODY_BYTES - 1024

# Members that are out of order must be sorted before they are compared.
NAMES = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+,-./:;<=>?@[]^_`{|}~"


def values() -> dict[str, str]:
    """Values for a place of a body."""
    return {
        "zeros": _listed("0", ROOM),
        "empty objects": _listed("{}", ROOM),
        "empty arrays": _listed("[]", ROOM),
        "small objects": _listed('{"a":0}', ROOM),
        "466,000 members": _wide(466_000),
        "400,000 members, names escaped": _wide(400_000, before="\\n"),
        "members, names alike": "{" + ",".join(f'"{"x" * 1900}{number:06}":0' for number in range(2000, 0, -1)) + "}",
        "one string": '"' + "x" * (ROOM - 2) + '"',
        "one string, all escaped": '"' + "\\u0041" * (ROOM // 6 - 1) + '"',
        "one string, control characters": '"' + "\\u0001" * (ROOM // 6 - 1) + '"',
        "white space": "[" + " " * (ROOM - 3) + "0]",
        "one number": "1" * ROOM,
        "64 levels, wide below": _nested(60, _listed("0", ROOM - 1000)),
        "64 levels, 465,000 members below": _nested(60, _wide(464_000)),
        "2 million levels": "[" * (ROOM // 2) + "]" * (ROOM // 2),
    }


def places() -> dict[str, tuple[str, str, str]]:
    """The places for a value: whose body, and the text around the value."""
    return {
        "body": ("sterling", "", ""),
        "event": ("sterling", '{"code":"c","x":', "}"),
        "attributes": ("sterling", '{"code":"c","attributes":', "}"),
        "events": ("sterling", '{"eventbatch":[{"events":', "}]}"),
        "batches": ("sterling", '{"eventbatch":', "}"),
        "identifiers": ("sterling", '{"eventbatch":[{"events":[{"code":"c"},{"code":"d"}],"identifiers":', "}]}"),
        "delivery": ("sterling", '{"eventbatch":[{"events":[{"code":"c"},{"code":"d"}]}],"x":', "}"),
        "nurturecloud payload": ("nurturecloud", '{"domainComponentName":"a","state":"Updated","payload":', "}"),
        "nurturecloud entity": (
            "nurturecloud",
            '{"domainComponentName":"a","state":"Updated","payload":'
            '{"organisationName":"o","businessId":"b","id":"i","x":',
            "}}",
        ),
        "nurturecloud envelope": (
            "nurturecloud",
            '{"domainComponentName":"a","state":"Updated",'
            '"payload":[{"organisationName":"o","businessId":"b","id":"i"}],"x":',
            "}",
        ),
        "machnet payload": ("machnet", '{"id":"1","event_name":"e","payload":', "}"),
        "accredit member": ("accredit", '{"Event":"E.C","Timestamp":"t","x":', "}"),
        "nowcerts body": ("nowcerts", "", ""),
    }


def whole_bodies() -> dict[str, tuple[str, str]]:
    """Bodies of many events."""
    return {
        "941 KB identifiers, 70,000 events": ("sterling", _batch(70_000, '{"code":"c"}', 941_000)),
        "2 MiB identifiers, 50,000 events": ("sterling", _batch(50_000, '{"code":"c"}', 2 << 20)),
        "2 MiB identifiers, 50,000 malformed": ("sterling", _batch(50_000, '{"x":7}', 2 << 20)),
        "100,000 events, each another": ("sterling", _array(f'{{"code":"{number}"}}' for number in range(100_000))),
        "100,000 events, all the same": ("sterling", _array(['{"code":"c"}'] * 100_000)),
        "100,000 batches of one event": (
            "sterling",
            '{"eventbatch":' + _array(['{"a":0,"events":[{"code":"c"}]}'] * 100_000) + "}",
        ),
        "2,000 batches, each 2 KB of identifiers": (
            "sterling",
            '{"eventbatch":'
            + _array(
                f'{{"channel":"{number}","identifiers":{_listed("0", 2000)},"events":[{{"code":"c"}}]}}'
                for number in range(2_000)
            )
            + "}",
        ),
        "7 batches beside 2 MiB": (
            "sterling",
            '{"x":' + _listed("0", 2 << 20) + ',"eventbatch":' + _array(['{"events":[{"code":"c"}]}'] * 7) + "}",
        ),
        "30,000 batches beside 2 MiB": (
            "sterling",
            '{"x":' + _listed("0", 2 << 20) + ',"eventbatch":' + _array(['{"events":[{"code":"c"}]}'] * 30_000) + "}",
        ),
        "300,000 events": ("sterling", _array(['{"code":"c"}'] * 300_000)),
        "a million tiny events": ("sterling", _array(["{}"] * 1_000_000)),
        "138,000 attributes": (
            "sterling",
            '{"code":"c","attributes":' + _array(['{"name":"itemId","value":"1"}'] * 138_000) + "}",
        ),
        "70,000 entities": ("nurturecloud", notification(_entity(number) for number in range(70_000))),
        "one entity 50,000 times": ("nurturecloud", notification([_entity(1)] * 50_000)),
        "1,000 entities of 4 KB": ("nurturecloud", notification(_entity(number, 4_000) for number in range(1_000))),
        "40,000 malformed entities beside 2 MiB": ("nurturecloud", notification(['{"x":7}'] * 40_000, 2 << 20)),
        "200,000 malformed entities": ("nurturecloud", notification(['{"x":7}'] * 200_000)),
    }


def bodies() -> Iterator[tuple[str, str, bytes]]:
    """Every body: its shape, its provider, and its bytes."""
    for (shape, value), (place, (provider, before, after)) in product(values().items(), places().items()):
        yield f"{shape} as {place}", provider, (before + value + after).encode()
    for shape, (provider, body) in whole_bodies().items():
        yield shape, provider, body.encode()


def notification(entities: Iterator[str] | list[str], envelope_bytes: int = 0) -> str:
    envelope = f'"x":{_listed("0", envelope_bytes)},' if envelope_bytes else ""
    return f'{{{envelope}"domainComponentName":"agent","state":"Updated","payload":{_array(entities)}}}'


def _entity(number: int, size: int = 0) -> str:
    filler = f',"x":"{"x" * size}"' if size else ""
    return f'{{"organisationName":"o","businessId":"b","id":"{number}"{filler}}}'


def _batch(count: int, event: str, identifiers_bytes: int) -> str:
    identifiers = _listed("0", identifiers_bytes)
    return f'{{"eventbatch":[{{"identifiers":{identifiers},"events":{_array([event] * count)}}}]}}'


def _array(elements: Iterator[str] | list[str]) -> str:
    return "[" + ",".join(elements) + "]"


def _listed(element: str, size: int) -> str:
    return _array([element] * ((size - 2) // (len(element) + 1)))


def _wide(count: int, before: str = "") -> str:
    names = ("".join(letters) for letters in product(reversed(NAMES), repeat=3))
    return "{" + ",".join(f'"{before}{name}":0' for name, _ in zip(names, range(count), strict=False)) + "}"


def _nested(levels: int, innermost: str) -> str:
    return '{"b":' * levels + innermost + ',"a":0}' * levels
