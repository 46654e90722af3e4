"""A stack that was asked to (`KeepRefused`) keeps a few of the requests that it refuses, whole, and no flood makes it keep more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import operator_commands
import pytest
from senders import Sender, new_event
from signers import MachnetSigner
from stack.stack import STACK_NAME, Stack

MAX_PER_HOUR = 5
PUT = "S3.PutObject"


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory, machnet_signer: MachnetSigner) -> Iterator[Stack]:
    """A stack of its own, because the parameter also gives the functions their permission."""
    stack = Stack(tmp_path_factory.mktemp("keeping"), {"KeepRefused": str(MAX_PER_HOUR)})
    try:
        stack.put_keys("machnet", machnet_signer.key())
        yield stack
    finally:
        stack.close()


@pytest.fixture
def machnet(keeping: Stack, machnet_signer: MachnetSigner) -> Sender:
    return Sender(keeping, "machnet", machnet_signer)


@pytest.fixture
def forger(machnet_signer: MachnetSigner) -> MachnetSigner:
    """Signs with the secret as it is read from a file that ends with a line break."""
    return MachnetSigner(f"{machnet_signer.secret}\n")


def kept(stack: Stack, function: str) -> dict[str, list[str]]:
    """The keys of what a function has kept, by hour."""
    hours: dict[str, list[str]] = {}
    for key in stack.objects(f"refused/{function}/"):
        hours.setdefault(key.rpartition("/")[0], []).append(key)
    return hours


def document(stack: Stack, key: str) -> dict[str, Any]:
    return json.loads(stack.object(key))


def flood(stack: Stack, signer: MachnetSigner, requests: int, at_once: int) -> Counter[int]:
    body = new_event("machnet")
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        answers = pool.map(lambda _: stack.post("machnet", body, signer.headers(body)), range(requests))
        return Counter(answer.status for answer in answers)


def test_of_a_flood_a_few_are_kept_and_each_is_explained(
    keeping: Stack, machnet: Sender, forger: MachnetSigner, machnet_signer: MachnetSigner, tmp_path: Path
) -> None:
    assert flood(keeping, forger, requests=50, at_once=1) == {409: 50}
    assert machnet.deliver(new_event("machnet"))[1] == "stored"

    hours = kept(keeping, "machnet")
    # The hour may have ended meanwhile.
    assert {len(keys) for keys in hours.values()} == {MAX_PER_HOUR}
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"keys": [machnet_signer.key()]}))
    refused = {line["delivery_id"]: line for line in keeping.deliveries("machnet") if line["outcome"] == "rejected"}
    for key in [key for keys in hours.values() for key in keys]:
        (tmp_path / "refused.json").write_bytes(keeping.object(key))
        arguments = ["explain", str(tmp_path / "refused.json"), "--active-secret-file", str(secret), "--json"]
        done = operator_commands.run(keeping, *arguments)
        assert done.returncode == 0, done.stderr
        [explanation] = [json.loads(line) for line in done.stdout.splitlines()]
        assert "a line break after it" in explanation["findings"][0]["sentence"]
        content = document(keeping, key)
        received_at = datetime.fromisoformat(explanation["received_at"])
        assert round(received_at.timestamp() * 1000) == content["requestContext"]["timeEpoch"]
        assert refused[content["refused"]["id"]]["reason"] == content["refused"]["reason"] == "signature-mismatch"
        assert content["refused"]["status"] == 409
        assert content["headers"]["content-type"] == "application/json"


def test_what_a_stack_has_kept_is_listed_shown_and_explained_by_its_id(keeping: Stack, forger: MachnetSigner) -> None:
    body = new_event("machnet")
    keeping.restart("machnet")
    keeping.post("machnet", body, forger.headers(body))
    keys = [key for keys in kept(keeping, "machnet").values() for key in keys]
    ids = {document(keeping, key)["refused"]["id"] for key in keys}

    def run(*arguments: str) -> str:
        done = operator_commands.run(keeping, *arguments, "--stack", STACK_NAME)
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = [json.loads(line) for line in run("refused", "--json").splitlines()]
    assert {each["id"] for each in listed} == ids
    assert {(each["status"], each["reason"], each["path"]) for each in listed} == {(409, "signature-mismatch", "/webhooks/machnet")}
    assert [each["received_at"] for each in listed] == sorted(each["received_at"] for each in listed)
    assert json.loads(run("refused", "--limit", "1", "--json")) == listed[-1]
    wanted = listed[0]["id"]
    assert f"`webhook-intake explain <ID> --stack {STACK_NAME}`" in run("refused")
    assert json.loads(run("refused", "show", wanted, "--json"))["id"] == wanted
    # With the stack's own secret.
    assert "a line break after it" in run("explain", wanted)

    unknown = operator_commands.run(keeping, "explain", "019abc5e-5d4c-7e61-93a2-6f0d1b7c8e21", "--stack", STACK_NAME)
    assert (unknown.returncode, "no refused request has the id" in unknown.stderr) == (1, True)


def test_new_copies_of_the_function_find_the_places_taken_and_give_up(
    keeping: Stack, machnet: Sender, forger: MachnetSigner
) -> None:
    keeping.restart("machnet")
    flood(keeping, forger, requests=20, at_once=1)
    before, calls = keeping.processes("machnet"), keeping.proxy.count(PUT)
    keeping.restart("machnet")

    assert flood(keeping, forger, requests=60, at_once=8) == {409: 60}

    assert all(len(keys) <= MAX_PER_HOUR for keys in kept(keeping, "machnet").values())
    copies = keeping.processes("machnet") - before
    assert copies >= 1
    # Of two hours, if one has ended meanwhile.
    assert keeping.proxy.count(PUT) - calls <= 2 * (MAX_PER_HOUR + 3 * copies)
    assert machnet.deliver(new_event("machnet"))[1] == "stored"


def test_a_bucket_that_does_not_answer_delays_three_answers_and_changes_none(
    keeping: Stack, machnet: Sender, forger: MachnetSigner
) -> None:
    keeping.restart("machnet")
    machnet.deliver(new_event("machnet"))
    with keeping.proxy.fault(PUT, "hang"):
        sent = [machnet.send(new_event("machnet"), signer=forger) for _ in range(6)]

    assert {(each.answer.status, each.line["reason"]) for each in sent} == {(409, "signature-mismatch")}
    assert all(each.answer.seconds < 2 for each in sent), [each.answer.seconds for each in sent]
    lines = keeping.lines("machnet", "the refused request cannot be kept")
    assert "300" in lines[-1]["error"]
    assert {line["delivery_id"] for line in lines[-3:]} <= {each.delivery_id for each in sent}


def test_a_refused_token_request_is_kept_in_a_folder_of_its_own(keeping: Stack) -> None:
    assert keeping.request("POST", "/oauth/token", b"grant_type=password", {}).status == 400

    [[key]] = kept(keeping, "sterling-token").values()
    content = document(keeping, key)
    assert (content["rawPath"], content["refused"]["reason"]) == ("/oauth/token", "invalid_request")


def test_nothing_is_kept_unless_it_was_asked_for(keeping: Stack, forger: MachnetSigner) -> None:
    before = keeping.proxy.count(PUT)
    kept_before = kept(keeping, "machnet")
    for number in ["", "0"]:
        with keeping.settings("machnet", KEEP_REFUSED=number):
            keeping.restart("machnet")
            assert flood(keeping, forger, requests=5, at_once=1) == {409: 5}

    assert keeping.proxy.count(PUT) == before
    assert kept(keeping, "machnet") == kept_before
