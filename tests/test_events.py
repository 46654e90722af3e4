"""What a function makes of the events and deadlines that Lambda, or a stand-in for it, may hand over.

An invocation that fails is answered by API Gateway with a 500, which no provider's contract knows; Machnet pauses a
subscription after a few. So every event has an answer of the function's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, registered
from oauth_client import FORM, TOKEN_PATH, basic
from senders import Sender, new_event
from signers import PathSecret
from stack import template
from stack.function_process import FunctionProcess, InvocationFailed, moment
from stack.stack import Stack

Event = dict[str, Any]

PROVIDERS = ["accredit", "machnet", "nurturecloud", "sterling"]

# "Send it again", in each one's own terms.
SEND_AGAIN = {"accredit": 400, "machnet": 409, "nurturecloud": 503, "sterling": 503}


def http_event(path: str, headers: dict[str, str], body: bytes) -> Event:
    """A request as an HTTP API hands it over."""
    host = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
    return {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "host": host,
            "x-forwarded-proto": "https",
            **{name.lower(): value for name, value in headers.items()},
        },
        "requestContext": {
            "domainName": host,
            "http": {"method": "POST", "path": path, "sourceIp": "192.0.2.10"},
            "stage": "$default",
        },
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def header(name: str, value: Any) -> Callable[[Event], None]:
    return lambda event: event["headers"].update({name: value})


def member(name: str, value: Any) -> Callable[[Event], None]:
    return lambda event: event.update({name: value})


def without(name: str) -> Callable[[Event], None]:
    return lambda event: event.__delitem__(name)


def query(text: str) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        event["rawQueryString"] = text
        event["queryStringParameters"] = {text: text}

    return change


def domain(name: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        event["requestContext"]["domainName"] = name
        event["headers"].pop("host")

    return change


# Members that no flow reads must not affect a genuine delivery.
HARMLESS: dict[str, Callable[[Event], None]] = {
    "a plain query": query("a=b"),
    "< in the query": query("a=<b>"),
    'a " in the query': query('a="b"'),
    "a space in the query": query("a=b c"),
    "a control character in the query": query("a=\x01"),
    "no ASCII in the query": query("a=ü"),
    "a % alone in the query": query("a=%"),
    "an odd x-forwarded-proto": header("x-forwarded-proto", "ht<tp"),
    "an empty x-forwarded-proto": header("x-forwarded-proto", ""),
    "a space in the host": header("host", "a b"),
    "an underscore in the host": header("host", "a_b"),
    "an empty host": header("host", ""),
    "no ASCII in the host": header("host", "münchen.example"),
    "a host with an odd port": header("host", "a:b"),
    "an odd domain instead of a host": domain("a b"),
    "no domain and no host": domain(None),
    "a control character in a header": header("x-odd", "a\x00b"),
    "a line break in a header": header("x-odd", "a\r\nb"),
    "a delete in the user agent": header("user-agent", "\x7f"),
    "no ASCII in a header": header("x-odd", "ü€"),
    "a lone surrogate in a header": header("x-odd", "\ud800"),
    "a space in a header's name": header("x odd", "1"),
    "no ASCII in a header's name": header("x-ü", "1"),
    "an empty header's name": header("", "1"),
    "a header that is a number": header("x-odd", 1),
    "a header that is null": header("x-odd", None),
    "10,240 bytes of headers": lambda event: event["headers"].update({f"x-{n:03}": "v" * 97 for n in range(100)}),
    "odd cookies": member("cookies", ["a\x00b", 7, "<"]),
    "a query that is a number": member("rawQueryString", 7),
    "parameters that are a number": member("pathParameters", 7),
    "a member that nobody knows": member("odd", {"deeply": [[[[None]]]]}),
}

# One reading serves all functions, so all of these go through one of them, and a few through each.
A_FEW = ["< in the query", "an odd x-forwarded-proto", "a space in the host", "a control character in a header"]

# What is not a request of an HTTP API cannot be judged.
UNREADABLE: dict[str, Callable[[Event], Any]] = {
    "no requestContext": without("requestContext"),
    "a requestContext without a request": member("requestContext", {"stage": "$default"}),
    "no rawPath": without("rawPath"),
    "a rawPath that is not a path": member("rawPath", "*"),
    "a path of 70,000 characters": member("rawPath", "/" + "a" * 70_000),
    "a method that is not one": member("requestContext", {"http": {"method": "PO ST"}}),
    "more headers than a request can hold": lambda event: event["headers"].update({f"x-{n}": "" for n in range(40_000)}),
    "headers that are a list": member("headers", []),
    "a body that is an object": member("body", {}),
    "a body with a lone surrogate": member("body", "\ud800"),
    "base64 that cannot be decoded": lambda event: event.update({"body": "%%%", "isBase64Encoded": True}),
    "base64 that breaks off": lambda event: event.update({"body": "QUJDR", "isBase64Encoded": True}),
}

OTHER_EVENTS: dict[str, bytes] = {
    "an event of a REST API": json.dumps(
        {
            "resource": "/webhooks/machnet",
            "path": "/webhooks/machnet",
            "httpMethod": "POST",
            "headers": {"host": "a"},
            "multiValueHeaders": {"host": ["a"]},
            "requestContext": {"resourcePath": "/", "httpMethod": "POST", "stage": "prod"},
            "body": "{}",
            "isBase64Encoded": False,
        }
    ).encode(),
    "an event of a load balancer": json.dumps(
        {
            "requestContext": {"elb": {"targetGroupArn": "arn"}},
            "httpMethod": "POST",
            "path": "/",
            "headers": {},
            "body": "{}",
            "isBase64Encoded": False,
        }
    ).encode(),
    "an event of a queue": b'{"Records":[{"messageId":"1","body":"{}"}]}',
    "an empty object": b"{}",
    "null": b"null",
    "a text": b'"text"',
    "JSON that breaks off": b'{"version": "2.0", "rawPath": "/',
    "no JSON": b"<html>",
    "nothing": b"",
    "no UTF-8": b'{"rawPath": "/\xff"}',
}


@pytest.fixture(params=PROVIDERS)
def sender(request: pytest.FixtureRequest) -> Sender:
    return request.getfixturevalue(request.param)


@pytest.fixture
def function(stack: Stack, sender: Sender, tmp_path: Path) -> Iterator[FunctionProcess]:
    with FunctionProcess.deployed(stack, sender.provider, tmp_path / "function.log") as function:
        yield function


def genuine(sender: Sender) -> Event:
    """A new delivery of the provider, as an event."""
    body = new_event(sender.provider)
    path = sender.signer.path if isinstance(sender.signer, PathSecret) else f"/webhooks/{sender.provider}"
    return http_event(path, sender.signer.headers(body), body)


def status(function: FunctionProcess, event: bytes) -> int | str:
    """The status of an answer in payload format 2.0, or why there is none."""
    try:
        answer = function.invoke(event)
    except InvocationFailed as error:
        return str(error)
    assert answer["isBase64Encoded"] is False
    assert json.loads(answer["body"]), answer
    return int(answer["statusCode"])


def changed(event: Event, change: Callable[[Event], Any]) -> bytes:
    change(event)
    return json.dumps(event).encode()


def test_a_genuine_delivery_is_accepted_whatever_its_query_and_other_headers(
    function: FunctionProcess, sender: Sender
) -> None:
    names = list(HARMLESS) if sender.provider == "machnet" else A_FEW
    answers = {name: status(function, changed(genuine(sender), HARMLESS[name])) for name in names}

    assert answers == dict.fromkeys(names, 200)
    left_out = [line["names"] for line in function.lines("headers that HTTP does not allow are left out")]
    assert '["x-odd"]' in left_out


def test_an_unreadable_event_is_answered_send_it_again(function: FunctionProcess, sender: Sender) -> None:
    answers = {name: status(function, changed(genuine(sender), change)) for name, change in UNREADABLE.items()}
    answers |= {name: status(function, event) for name, event in OTHER_EVENTS.items()}

    assert answers == dict.fromkeys([*UNREADABLE, *OTHER_EVENTS], SEND_AGAIN[sender.provider])
    lines = function.lines("delivery")
    assert {(line["outcome"], line["reason"]) for line in lines} == {("rejected", "request-unreadable")}
    assert len(lines) == len(function.lines("the request cannot be read")) == len(answers)
    assert status(function, json.dumps(genuine(sender)).encode()) == 200, "and the process goes on"


def test_forged_changes_are_still_rejected(function: FunctionProcess, sender: Sender) -> None:
    def refused(change: Callable[[Event], Any]) -> int | str:
        return status(function, changed(genuine(sender), change))

    wrong_method = refused(lambda event: event["requestContext"]["http"].update({"method": "GET"}))
    assert wrong_method == 405
    if sender.provider == "nurturecloud":
        assert refused(member("rawPath", '/webhooks/nurturecloud/a <">?b')) == 401
    else:
        unreadable = {"accredit": "x-signature", "machnet": "x-raas-webhook-signature", "sterling": "authorization"}
        assert refused(header(unreadable[sender.provider], "a\x00b")) == {"accredit": 400}.get(sender.provider, 401)


@pytest.fixture
def token_function(stack: Stack, tmp_path: Path) -> Iterator[FunctionProcess]:
    with FunctionProcess.deployed(stack, "sterling-token", tmp_path / "function.log") as function:
        yield function


def token_event(authority: Authority) -> Event:
    headers = FORM | basic(authority.client.client_id, authority.client.client_secret)
    event = http_event(TOKEN_PATH, headers, b"")
    return event | {"body": base64.b64encode(b"grant_type=client_credentials").decode(), "isBase64Encoded": True}


def token_status(function: FunctionProcess, event: bytes, deadline: str | None = None) -> tuple[int, str | None]:
    answer = function.invoke(event, deadline)
    content = json.loads(answer["body"])
    if "access_token" in content:
        registered(content["access_token"])
    return answer["statusCode"], content.get("error")


def test_the_token_endpoint_has_an_answer_to_every_event(token_function: FunctionProcess, authority: Authority) -> None:
    unavailable = (503, "temporarily_unavailable")
    for name in A_FEW:
        assert token_status(token_function, changed(token_event(authority), HARMLESS[name])) == (200, None), name
    for name, change in UNREADABLE.items():
        assert token_status(token_function, changed(token_event(authority), change)) == unavailable, name
    for name, event in OTHER_EVENTS.items():
        assert token_status(token_function, event) == unavailable, name
    reasons = [line["reason"] for line in token_function.lines("token") if line["outcome"] == "refused"]
    assert reasons == ["request-unreadable"] * (len(UNREADABLE) + len(OTHER_EVENTS))


# `cargo lambda watch` 1.9 sends the time that is left, Lambda the moment. Neither may be taken for the other.
DEADLINES = {"Lambda's": lambda: moment(15), "cargo-lambda's": lambda: "600000"}


def test_a_delivery_is_accepted_under_either_form_of_the_deadline(function: FunctionProcess, sender: Sender) -> None:
    events = {form: json.dumps(genuine(sender)).encode() for form in DEADLINES}
    answers = {form: function.invoke(event, DEADLINES[form]())["statusCode"] for form, event in events.items()}

    assert answers == dict.fromkeys(DEADLINES, 200)


def test_a_token_is_issued_under_either_form_of_the_deadline(
    token_function: FunctionProcess, authority: Authority
) -> None:
    event = json.dumps(token_event(authority)).encode()
    answers = {form: token_status(token_function, event, deadline()) for form, deadline in DEADLINES.items()}

    assert answers == dict.fromkeys(DEADLINES, (200, None))


def test_a_batch_is_processed_under_either_form_of_the_deadline(stack: Stack, tmp_path: Path) -> None:
    batch = (template.ROOT / "events" / "processor.json").read_bytes()

    with FunctionProcess.deployed(stack, "processor", tmp_path / "function.log") as function:
        answers = {form: function.invoke(batch, deadline()) for form, deadline in DEADLINES.items()}

    assert answers == dict.fromkeys(DEADLINES, {"batchItemFailures": []})


def test_a_deadline_that_has_passed_is_answered_at_once(stack: Stack, machnet: Sender, tmp_path: Path) -> None:
    with FunctionProcess.deployed(stack, "machnet", tmp_path / "function.log") as function:
        answer = function.invoke(json.dumps(genuine(machnet)).encode(), moment(-1))
        [line] = function.lines("delivery")

    assert (answer["statusCode"], line["reason"]) == (409, "deadline-exceeded")
