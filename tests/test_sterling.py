"""The stories of IBM Sterling: tokens, batches, and the item of each event."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from authlib.integrations.base_client.errors import OAuthError
from authority import (
    Authority,
    Bearer,
    Client,
    SigningKey,
    base64url,
    jwt,
    put_authority,
    sterling_batch,
    sterling_delivery,
    sterling_event,
)
from cryptography.hazmat.primitives import serialization
from oauth_client import BASIC, FORM, POST, TOKEN_PATH, OAuthClient, basic, token_request, verified
from senders import Sender, Sent, message_body, new_id
from stack.stack import Stack
from stack.wait import wait_until

SEND_MESSAGE = "AmazonSQS.SendMessage"
GET_SECRET = "secretsmanager.GetSecretValue"
# Sterling waits for five seconds.
MAX_ANSWER_SECONDS = 5.0
LEEWAY_SECONDS = 30
# An unknown key is looked up once the cached document is 15 seconds old.
MAX_LOOK_UP_SECONDS = 20


def items_of(stack: Stack, sent: Sent) -> list[dict[str, Any]]:
    """The items that a delivery left, in the order of its events."""
    return sorted(stack.items(delivery_id=sent.delivery_id), key=lambda item: int(item["index"]))


@contextlib.contextmanager
def documents_of(stack: Stack, authority: Authority, changed: Authority) -> Iterator[None]:
    """Puts another authority's documents into both secrets inside the `with` block."""
    put_authority(stack, changed)
    stack.restart("sterling")
    stack.restart("sterling-token")
    try:
        yield
    finally:
        put_authority(stack, authority)
        stack.restart("sterling")
        stack.restart("sterling-token")


# Tokens, by a standard client


@pytest.mark.parametrize("method", [BASIC, POST])
def test_a_standard_client_gets_a_token_and_delivers_with_it(
    stack: Stack, sterling: Sender, authority: Authority, method: str
) -> None:
    client = OAuthClient(stack, authority.client, method)
    item_id = new_id()

    token = client.fetch_token()
    answer = client.post(sterling_delivery(sterling_batch(sterling_event(item_id))))

    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 7200
    assert answer.status_code == 200
    assert sterling.outcome(answer.json()["delivery_id"]) == "stored"
    [item] = stack.events(subject=item_id)
    assert item["source"] == "/webhooks/sterling/ibm-sterling"


def test_a_token_holds_what_rfc_9068_asks_for(stack: Stack, authority: Authority) -> None:
    client = OAuthClient(stack, authority.client)
    before = int(time.time())

    first, second = (client.fetch_token(scope="anything")["access_token"] for _ in range(2))

    token = verified(authority, first)
    claims = token.claims
    assert token.header == {"alg": "EdDSA", "typ": "at+jwt", "kid": authority.key.kid}
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti", "client_id"}
    assert (claims["iss"], claims["aud"]) == (authority.issuer, authority.audience)
    assert claims["sub"] == claims["client_id"] == "ibm-sterling"
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] == claims["iat"] + 7200
    assert claims["jti"] != verified(authority, second).claims["jti"]


def test_a_token_answer_is_what_rfc_6749_says_and_is_kept_nowhere(stack: Stack, authority: Authority) -> None:
    answer = token_request(stack, authority.client)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(json.loads(answer.body)) == {"access_token", "token_type", "expires_in"}
    token = json.loads(answer.body)["access_token"]
    assert token not in stack.output("sterling-token")
    assert authority.client.client_secret not in stack.output("sterling-token")


def test_a_token_appears_in_no_log_line_and_no_item(stack: Stack, sterling: Sender, authority: Authority) -> None:
    token = authority.token()

    sent, _ = sterling.deliver(b"{", signer=Bearer(token))

    [item] = stack.items(delivery_id=sent.delivery_id)
    signature = token.split(".")[2]
    assert signature not in json.dumps(item, default=str)
    assert signature not in stack.output("sterling") + stack.output("processor")


def test_a_wrong_secret_and_an_unknown_client_get_the_same_answer(stack: Stack, authority: Authority) -> None:
    answers = [
        token_request(stack, client) for client in [Client(authority.client.client_id), Client("someone-else")]
    ]

    assert [answer.status for answer in answers] == [401, 401]
    assert json.loads(answers[0].body)["error"] == "invalid_client"
    assert answers[0].body == answers[1].body
    # The log tells the two apart. An id that is not known is not shown, because it may be a secret in the wrong place.
    known, unknown = stack.lines("sterling-token", "token")[-2:]
    assert (known["reason"], known["client_id"]) == ("invalid_client", authority.client.client_id)
    assert (unknown["reason"], unknown.get("client_id")) == ("invalid_client", None)
    assert "source_address" in known and "authorization" in known["header_names"]
    for answer in answers:
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", [BASIC, POST])
def test_a_standard_client_understands_a_rejection(stack: Stack, authority: Authority, method: str) -> None:
    with pytest.raises(OAuthError) as refused:
        OAuthClient(stack, Client(authority.client.client_id), method).fetch_token()

    assert refused.value.error == "invalid_client"


def refused_requests() -> list[Any]:
    both = b"grant_type=client_credentials&client_id=ibm-sterling&client_secret=x"
    return [
        pytest.param(FORM, both, "invalid_request", id="both methods of authentication"),
        pytest.param(
            {"Content-Type": "application/json"},
            b'{"grant_type":"client_credentials"}',
            "invalid_request",
            id="json",
        ),
        pytest.param(FORM, b"", "invalid_request", id="no grant type"),
        pytest.param(FORM, b"grant_type=client_credentials&grant_type=x", "invalid_request", id="a repeated parameter"),
        pytest.param(FORM, b"grant_type=password", "unsupported_grant_type", id="another grant"),
    ]


@pytest.mark.parametrize(("headers", "body", "error"), refused_requests())
def test_a_malformed_token_request_is_answered_400(
    stack: Stack, authority: Authority, headers: dict[str, str], body: bytes, error: str
) -> None:
    client = authority.client

    answer = token_request(stack, client, headers | basic(client.client_id, client.client_secret), body)

    assert answer.status == 400
    assert json.loads(answer.body)["error"] == error
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_request_that_is_too_large_is_answered_413(stack: Stack, authority: Authority) -> None:
    answer = token_request(stack, authority.client, body=b"grant_type=client_credentials&x=" + b"x" * 20_000)

    assert answer.status == 413
    assert json.loads(answer.body)["error"] == "invalid_request"


@pytest.mark.parametrize("path", [TOKEN_PATH, "/webhooks/sterling"])
def test_another_method_than_post_reaches_no_function(stack: Stack, path: str) -> None:
    # The API has routes for POST only. The functions' own 405 is for those who put them behind something else.
    assert stack.request("GET", path, b"", {}).status == 404


def test_no_token_is_issued_while_the_authority_cannot_be_read(stack: Stack, authority: Authority) -> None:
    stack.restart("sterling-token")

    with stack.proxy.fault(GET_SECRET, "unavailable"):
        answer = token_request(stack, authority.client)

    assert answer.status == 503
    assert answer.seconds < MAX_ANSWER_SECONDS
    assert json.loads(answer.body)["error"] == "temporarily_unavailable"
    wait_until(lambda: token_request(stack, authority.client).status == 200, timeout=20, interval=0.5, what="the recovery")


def test_the_webhook_cannot_read_the_private_keys(stack: Stack, sterling: Sender, authority: Authority) -> None:
    secret = stack.outputs["SterlingAuthoritySecretArn"]

    with stack.settings("sterling", SECRET_ID=secret):
        sent = sterling.send(b"{}")

    assert sent.answer.status == 503
    assert sent.line["reason"] == "secrets-unavailable"
    assert any("AccessDenied" in line.get("error", "") for line in stack.lines("sterling"))


def test_the_initial_documents_issue_nothing_and_verify_nothing(
    stack: Stack, sterling: Sender, authority: Authority
) -> None:
    resources = stack.template["Resources"]
    initial = {
        name: json.loads(resources[name]["Properties"]["SecretString"])
        for name in ["SterlingAuthoritySecret", "SterlingVerificationSecret"]
    }
    with documents_of(stack, authority, authority):
        for name, document in initial.items():
            stack.put_secret(f"{name}Arn", document)
        stack.restart("sterling")
        stack.restart("sterling-token")
        no_token = token_request(stack, authority.client)
        sent = sterling.send(b"{}")

    assert (no_token.status, json.loads(no_token.body)["error"]) == (503, "temporarily_unavailable")
    assert (sent.answer.status, sent.line["reason"]) == (503, "no-active-key")


# The conversation


def test_an_expired_token_is_named_and_the_retry_with_a_new_one_is_stored_once(
    stack: Stack, sterling: Sender, authority: Authority
) -> None:
    short = Authority(token_lifetime_seconds=1)
    short.key, short.client, short.clients = authority.key, authority.client, authority.clients
    item_id, later_item_id = new_id(), new_id()
    first, second = (sterling_delivery(sterling_batch(sterling_event(each))) for each in [item_id, later_item_id])
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}")

    def get_token() -> dict[str, Any]:
        say("POST /oauth/token  Authorization: Basic …  grant_type=client_credentials")
        token = client.fetch_token()
        say(f"  200  token_type={token['token_type']} expires_in={token['expires_in']} access_token={shown(token)}")
        return token

    def post(body: bytes, token: dict[str, Any]) -> Any:
        say(f"POST /webhooks/sterling  Authorization: Bearer {shown(token)}  {len(body)} bytes")
        answer = client.post(body)
        challenge = answer.headers.get("WWW-Authenticate")
        say(f"  {answer.status_code}  {f'WWW-Authenticate: {challenge}' if challenge else answer.text}")
        return answer

    print()
    with documents_of(stack, authority, short):
        client = OAuthClient(stack, authority.client)
        token = get_token()
        assert token["expires_in"] == 1
        taken = post(first, token)
        assert taken.status_code == 200
        say(f"the token expires, and the {LEEWAY_SECONDS} s for clocks that disagree pass")
        time.sleep(LEEWAY_SECONDS + 2)
        refused = post(second, token)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
        assert "expired" in refused.headers["WWW-Authenticate"]
        assert stack.deliveries("sterling")[-1]["reason"] == "token-expired"
        retried = post(second, get_token())
        assert retried.status_code == 200

    for answer, each in [(taken, item_id), (retried, later_item_id)]:
        assert sterling.outcome(answer.json()["delivery_id"]) == "stored"
        [item] = stack.events(subject=each)
        assert item["delivery_id"] == answer.json()["delivery_id"]
        say(f"stored once: {item['type']} of item {item['subject']} as {item['id'][:16]}…")


def shown(token: dict[str, Any]) -> str:
    header, claims, signature = token["access_token"].split(".")
    return f"{header[:6]}….{claims[:6]}….{signature[:6]}…"


# Events


def test_each_event_of_a_batch_is_stored_once_with_its_envelope(stack: Stack, sterling: Sender) -> None:
    one, two, three = (new_id() for _ in range(3))
    # White space, order and escapes that no serialiser would reproduce.
    raw = (
        '{ "timestamp":"2026-01-18T06:00:00.021Z", "code" : "demandChange",'
        f' "attributes":[{{"name":"itemId","value":"{two}"}}]}}'
    )
    delivery = sterling_delivery(
        sterling_batch(sterling_event(one), "RAW", identifiers=[{"name": "node", "value": "N1"}]),
        sterling_batch(sterling_event(three, code="supplySnapshot"), channel="Store"),
    ).replace(b'"RAW"', raw.encode())

    sent, found = sterling.deliver_batch(delivery)

    assert found == ["stored", "stored", "stored"]
    items = items_of(stack, sent)
    assert [item["type"] for item in items] == [
        "sterling.supplyChange",
        "sterling.demandChange",
        "sterling.supplySnapshot",
    ]
    assert [item["subject"] for item in items] == [one, two, three]
    assert [item["time"] for item in items] == ["2026-01-18T06:00:00.021Z"] * 3
    assert [item["attributes"]["channel"] for item in items] == ["Order Management", "Order Management", "Store"]
    assert json.loads(items[0]["attributes"]["identifiers"]) == [{"name": "node", "value": "N1"}]
    assert items[0]["attributes"]["attribute.tenantId"] == "tenant1"
    assert items[0]["data"] == json.dumps(sterling_event(one))
    assert items[1]["data"] == raw
    assert {item["source"] for item in items} == {"/webhooks/sterling/ibm-sterling"}
    assert len({item["id"] for item in items}) == 3
    assert all(len(item["id"]) == 64 for item in items)


def test_a_batch_that_is_split_and_ordered_differently_holds_only_duplicates(stack: Stack, sterling: Sender) -> None:
    events = [sterling_event(new_id()) for _ in range(6)]
    sent, found = sterling.deliver_batch(sterling_delivery(sterling_batch(*events)))
    assert found == ["stored"] * 6

    reordered = [dict(reversed(event.items())) for event in reversed(events)]
    _, whole = sterling.deliver_batch(sterling_delivery(sterling_batch(*reordered)))
    _, cut = sterling.deliver_batch(sterling_delivery(sterling_batch(*events[4:]), sterling_batch(*events[:2])))
    _, rest = sterling.deliver_batch(json.dumps([sterling_batch(*events[2:4])], indent=2).encode())

    assert whole == ["duplicate"] * 6
    assert (cut, rest) == (["duplicate"] * 4, ["duplicate"] * 2)
    for event in events:
        [item] = stack.events(subject=event["attributes"][1]["value"])
        assert item["delivery_id"] == sent.delivery_id


def test_the_same_event_on_another_channel_is_another_event(sterling: Sender) -> None:
    event = sterling_event(new_id())

    _, found = sterling.deliver_batch(
        sterling_delivery(sterling_batch(event), sterling_batch(event, channel="Store"))
    )

    assert found == ["stored", "stored"]


def test_a_single_event_in_the_older_form_is_stored(stack: Stack, sterling: Sender) -> None:
    item_id = new_id()

    _, outcome = sterling.deliver(json.dumps(sterling_event(item_id)).encode())

    assert outcome == "stored"
    [item] = stack.events(subject=item_id)
    assert item["type"] == "sterling.supplyChange"
    assert "channel" not in item["attributes"]


def test_an_array_of_events_is_split(stack: Stack, sterling: Sender) -> None:
    items = [new_id() for _ in range(3)]

    _, found = sterling.deliver_batch(json.dumps([sterling_event(each) for each in items]).encode())

    assert found == ["stored"] * 3
    assert all(len(stack.events(subject=each)) == 1 for each in items)


def test_two_identical_events_of_one_delivery_are_two_events(stack: Stack, sterling: Sender) -> None:
    item_id = new_id()
    body = sterling_delivery(sterling_batch(sterling_event(item_id), sterling_event(item_id)))

    _, first = sterling.deliver_batch(body)
    _, again = sterling.deliver_batch(body)

    assert (first, again) == (["stored", "stored"], ["duplicate", "duplicate"])
    ids = sorted(item["id"] for item in stack.events(subject=item_id))
    assert ids == [ids[0], f"{ids[0]}.1"]


def test_numbers_stay_as_they_are_written(stack: Stack, sterling: Sender) -> None:
    item_id = new_id()
    quantities = ["1.0", "1", "1.00", "10000000000000001", "10000000000000000"]

    sent, found = sterling.deliver_batch(
        sterling_delivery(sterling_batch(*(sterling_event(item_id, quantity=each) for each in quantities)))
    )

    assert found == ["stored"] * 5
    items = items_of(stack, sent)
    assert [item["attributes"]["attribute.quantity"] for item in items] == quantities
    assert [json.loads(item["data"])["attributes"][2]["value"] for item in items] == quantities


def test_one_malformed_event_is_quarantined_alone(stack: Stack, sterling: Sender) -> None:
    malformed = {"timestamp": "2026-01-18T06:00:00.021Z", "attributes": []}
    events = [sterling_event(new_id()), malformed, sterling_event(new_id())]

    body = sterling_delivery(sterling_batch(*events))

    sent, found = sterling.deliver_batch(body)

    assert found == ["stored", "quarantined", "stored"]
    [quarantined] = [item for item in items_of(stack, sent) if item["kind"] == "quarantine"]
    assert quarantined["index"] == 1
    assert "code" in quarantined["reason"]
    assert json.loads(quarantined["data"]) == malformed
    assert message_body(quarantined["document"]) == body, "the whole delivery, so that it can be released"


@pytest.mark.parametrize(
    "body", [b'{"eventbatch":[]}', b"[]", b'{"eventbatch":[{"channel":"c","events":[]}]}', b"", b"{"]
)
def test_a_delivery_without_an_event_is_quarantined(stack: Stack, sterling: Sender, body: bytes) -> None:
    sent, outcome = sterling.deliver(body)

    assert outcome == "quarantined"
    [item] = stack.items(delivery_id=sent.delivery_id)
    assert item["reason"]
    assert message_body(item["document"]) == body


def test_eighty_events_of_a_megabyte_are_stored(stack: Stack, sterling: Sender) -> None:
    padding = {"name": "note", "type": "String", "value": "x" * 13_000}
    events = [sterling_event(new_id(), code="supplySnapshot") for _ in range(80)]
    for event in events:
        event["attributes"].append(padding)
    body = json.dumps(events).encode()
    assert 1_000_000 < len(body) < 1_200_000

    sent, found = sterling.deliver_batch(body)
    _, again = sterling.deliver_batch(body)

    # A line lists twenty outcomes, and counts the others.
    assert (found, again) == (["stored"] * 20, ["duplicate"] * 20)
    assert stack.wait_for_record(sent.delivery_id)[-1]["further_outcomes"] == "stored=60"
    items = items_of(stack, sent)
    assert [item["data"] for item in items] == [json.dumps(event) for event in events]


# Attacks


def forgeries() -> dict[str, Any]:
    """Forged tokens that must be rejected."""
    stranger = SigningKey()

    def public_pem(authority: Authority) -> bytes:
        return authority.key.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def hs256(authority: Authority, key: bytes) -> str:
        return authority.token({"alg": "HS256"}, lambda data: hmac.digest(key, data, hashlib.sha256))

    def now() -> int:
        return int(time.time())

    return {
        "alg none": lambda a: jwt(a.header(alg="none"), a.claims(), lambda _: b""),
        "alg none without kid": lambda a: jwt({"alg": "none"}, a.claims(), lambda _: b""),
        "alg None in another case": lambda a: jwt(a.header(alg="nOnE"), a.claims(), lambda _: b""),
        "hs256 with the public key's bytes": lambda a: hs256(a, a.key.public_bytes),
        "hs256 with the public key's x": lambda a: hs256(a, a.key.public_entry()["x"].encode()),
        "hs256 with the public key's pem": lambda a: hs256(a, public_pem(a)),
        "eddsa under another name": lambda a: a.token({"alg": "ES256"}),
        "no signature": lambda a: jwt(a.header(), a.claims(), lambda _: b""),
        "a stranger's signature": lambda a: a.token(sign=stranger.sign),
        "a stranger's kid": lambda a: a.token({"kid": stranger.kid}, stranger.sign),
        "kid as a path": lambda a: a.token({"kid": "../../../../dev/null"}, lambda data: b"\0" * 64),
        "kid as sql": lambda a: a.token({"kid": "x' UNION SELECT 'AAAA'; --"}, stranger.sign),
        "kid as a number": lambda a: a.token({"kid": 1}),
        "no kid": lambda a: a.token({"kid": None}),
        "a key of its own": lambda a: a.token({"jwk": stranger.jwk() | {"kid": a.key.kid}}, stranger.sign),
        "a key elsewhere": lambda a: a.token({"jku": "http://127.0.0.1:9/jwks.json"}, stranger.sign),
        "wrong audience": lambda a: a.token(aud="https://elsewhere.example.com"),
        "audience as an empty list": lambda a: a.token(aud=[]),
        "no audience": lambda a: a.token(aud=None),
        "wrong issuer": lambda a: a.token(iss="https://elsewhere.example.com"),
        "no issuer": lambda a: a.token(iss=None),
        "wrong typ": lambda a: a.token({"typ": "JWT"}),
        "no typ": lambda a: a.token({"typ": None}),
        "an unknown critical extension": lambda a: a.token({"crit": ["b64"], "b64": False}),
        "issued in the future": lambda a: a.token(iat=now() + 3600, exp=now() + 7200),
        "not yet valid": lambda a: a.token(nbf=now() + 3600),
        "no expiry": lambda a: a.token(exp=None),
        "expiry as text": lambda a: a.token(exp="2099"),
        "an unknown client": lambda a: a.token(client_id="someone-else", sub="someone-else"),
        "oversized": lambda a: a.token(note="x" * 5_000),
        "truncated": lambda a: a.token()[:-5],
        "four parts": lambda a: a.token() + ".e30",
        "changed claims": lambda a: ".".join(
            [*a.token().split(".")[:1], base64url(json.dumps(a.claims(exp=9999999999)).encode()), a.token()[-86:]]
        ),
        "two headers joined": lambda a: f"{a.token()}, Bearer {a.token()}",
        "two headers joined without a space": lambda a: f"{a.token()},Bearer {a.token()}",
        "not a token": lambda a: "?",
        "empty": lambda a: "",
    }


# What the log says is wrong with some of them.
DETAILS = {
    "a stranger's signature": "signature",
    "a stranger's kid": "unknown-key",
    "wrong audience": "audience",
    "wrong issuer": "issuer",
    "an unknown client": "unknown-client",
    "no expiry": "claim",
}


@pytest.mark.parametrize("forgery", forgeries())
def test_a_forged_token_is_answered_401_and_nothing_is_queued(
    stack: Stack, sterling: Sender, authority: Authority, forgery: str
) -> None:
    token = forgeries()[forgery](authority)
    sends = stack.proxy.count(SEND_MESSAGE)

    sent = sterling.send(sterling_delivery(sterling_batch(sterling_event(new_id()))), signer=Bearer(token))

    assert sent.answer.status == 401
    assert 'error="invalid_token"' in sent.answer.headers["www-authenticate"]
    assert "expired" not in sent.answer.headers["www-authenticate"]
    assert sent.line["reason"] in {"token-invalid", "token-malformed"}
    # What is wrong with it is for the log only.
    assert forgery not in DETAILS or sent.line["detail"] == DETAILS[forgery]
    assert sent.answer.problem()["detail"] in {
        "the access token is not valid here; get a new one",
        "the header authorization is not one bearer token",
    }
    assert stack.proxy.count(SEND_MESSAGE) == sends


def test_an_expired_token_that_is_forged_is_not_called_expired(sterling: Sender, authority: Authority) -> None:
    long_ago = int(time.time()) - 10_000

    forged = authority.token(sign=SigningKey().sign, iat=long_ago, exp=long_ago + 3600)
    sent = sterling.send(b"{}", signer=Bearer(forged))

    assert (sent.answer.status, sent.line["reason"]) == (401, "token-invalid")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
def test_a_delivery_without_a_bearer_token_is_answered_401(
    stack: Stack, sterling: Sender, headers: dict[str, str]
) -> None:
    calls = len(stack.proxy.calls)

    sent = sterling.post(b"{}", headers)

    assert sent.answer.status == 401
    challenge = sent.answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    # RFC 6750, section 3.1: without credentials the challenge has no error code.
    assert ("error=" in challenge) == bool(headers)
    assert len(stack.proxy.calls) == calls, "a refused request calls nothing"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(sterling: Sender, authority: Authority, scheme: str) -> None:
    body = sterling_delivery(sterling_batch(sterling_event(new_id())))

    sent = sterling.post(body, {"Authorization": f"{scheme} {authority.token()}"})

    assert sent.answer.status == 200


def test_the_tokens_of_a_removed_client_are_rejected(stack: Stack, sterling: Sender, authority: Authority) -> None:
    leaving = Client("leaving-client")
    both = Authority()
    both.key, both.client, both.clients = authority.key, authority.client, [authority.client, leaving]
    body = sterling_delivery(sterling_batch(sterling_event(new_id())))

    with documents_of(stack, authority, both):
        token = OAuthClient(stack, leaving).fetch_token()["access_token"]
        assert sterling.deliver(body, signer=Bearer(token))[1] == "stored"
    refused = sterling.send(body, signer=Bearer(token))
    no_token = token_request(stack, leaving)

    assert (refused.answer.status, refused.line["reason"]) == (401, "token-invalid")
    assert (no_token.status, json.loads(no_token.body)["error"]) == (401, "invalid_client")


def test_a_new_key_is_found_without_a_deployment(stack: Stack, sterling: Sender, authority: Authority) -> None:
    sterling.send(b"{}")
    renewed = Authority()
    renewed.client, renewed.clients = authority.client, authority.clients
    put_authority(stack, renewed)
    body = sterling_delivery(sterling_batch(sterling_event(new_id())))

    try:
        taken = wait_until(
            lambda: sterling.send(body, signer=Bearer(renewed.token())).answer.status == 200,
            timeout=MAX_LOOK_UP_SECONDS,
            interval=1,
            what="the new key's use",
        )
    finally:
        put_authority(stack, authority)
        stack.restart("sterling")
        stack.restart("sterling-token")

    assert taken


# Failures of ours; those that every intake has are in test_failures.py


def test_an_unknown_key_that_cannot_be_looked_up_means_send_it_again(
    stack: Stack, sterling: Sender, authority: Authority
) -> None:
    assert sterling.send(b"{}").answer.status == 200
    stranger = SigningKey()
    token = authority.token({"kid": stranger.kid}, stranger.sign)

    # Within 15 seconds of the last reading the document counts as current.
    with stack.proxy.fault(GET_SECRET, "unavailable"):
        wait_until(
            lambda: sterling.send(b"{}", signer=Bearer(token)).answer.status != 401,
            timeout=MAX_LOOK_UP_SECONDS,
            interval=1,
            what="the look-up",
        )
        unsure = sterling.send(b"{}", signer=Bearer(token))
        known = sterling.send(b"{}")

    assert (unsure.answer.status, unsure.line["reason"]) == (503, "secrets-unavailable")
    assert "www-authenticate" not in unsure.answer.headers
    assert known.answer.status == 200, "what the document at hand can prove is taken"


@pytest.mark.parametrize("start", ["cold", "warm"])
def test_a_queue_that_hangs_is_answered_within_five_seconds(stack: Stack, sterling: Sender, start: str) -> None:
    item_id = new_id()
    body = sterling_delivery(sterling_batch(sterling_event(item_id)))
    sterling.send(b"{}")
    if start == "cold":
        stack.restart("sterling")
    processes = stack.processes("sterling")

    with stack.proxy.fault(SEND_MESSAGE, "hang"):
        refused = sterling.send(body)

    print(f"\n{start} start, SQS hangs: answered {refused.answer.status} after {refused.answer.seconds:.2f} s")
    assert (stack.processes("sterling") > processes) == (start == "cold")
    assert refused.answer.status == 503
    assert refused.answer.seconds < MAX_ANSWER_SECONDS
    assert refused.line["outcome"] == "unknown"
    assert sterling.deliver(body)[1] == "stored"
    assert len(stack.events(subject=item_id)) == 1


def test_a_cold_start_where_nothing_answers_is_answered_within_five_seconds(
    stack: Stack, sterling: Sender, authority: Authority
) -> None:
    stack.restart("sterling")
    stack.restart("sterling-token")

    with stack.proxy.fault(GET_SECRET, "hang"), stack.proxy.fault(SEND_MESSAGE, "hang"):
        refused = sterling.send(b"{}")
        no_token = token_request(stack, authority.client)

    print(f"\ncold start, nothing answers: webhook {refused.answer.seconds:.2f} s, token {no_token.seconds:.2f} s")
    assert (refused.answer.status, no_token.status) == (503, 503)
    assert max(refused.answer.seconds, no_token.seconds) < MAX_ANSWER_SECONDS
    wait_until(lambda: sterling.send(b"{}").answer.status == 200, timeout=20, interval=0.5, what="the recovery")
    wait_until(lambda: token_request(stack, authority.client).status == 200, timeout=20, interval=0.5, what="the recovery")
