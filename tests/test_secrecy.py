"""Secrets appear nowhere. The whole run is searched at its end (conftest.py); these tests show that the search works."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authority import Authority
from confidential import ACCESS_TOKEN, CLIENT_SECRET, PATH_SECRET, SIGNING_SECRET, confidential, secrets_so_far
from notifications import agent, notification
from secrecy import left_behind, search
from senders import Sender, new_id
from signers import MachnetSigner, PathSecret
from stack.stack import Stack
from stack.wait import wait_until

MIB = 1024 * 1024


def test_the_path_secret_appears_nowhere_whatever_the_outcome_of_a_delivery(
    stack: Stack, nurturecloud: Sender, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    ours, stranger = nurturecloud.signer, PathSecret()
    body = notification("Created", agent(new_id()))

    for level in ["debug", "info"]:
        with stack.settings("nurturecloud", LOG_LEVEL=level), stack.settings("processor", LOG_LEVEL=level):
            for path_secret in [ours, stranger]:
                nurturecloud.send(body, signer=path_secret)
            nurturecloud.deliver(b"{")
            nurturecloud.deliver(notification("Created", agent(new_id(), note="x" * MIB)))
            nurturecloud.send(b"x" * (4 * MIB + 1))
            with stack.proxy.fault("AmazonSQS.SendMessage", "access-denied"):
                nurturecloud.send(body)
            with stack.proxy.fault("secretsmanager.GetSecretValue", "access-denied"):
                stack.restart("nurturecloud")
                nurturecloud.send(body)
    with stack.settings("nurturecloud", QUEUE_URL="", LOG_LEVEL="loud"):
        nurturecloud.send(body)
    # What is odd beside the path, and what is not a request although the path is in it.
    for path, headers in [(f"{ours.path}?<", {}), (ours.path, {"X-Forwarded-Proto": "no scheme"})]:
        nurturecloud.post(body, headers, path)
    for event in [{"rawPath": ours.path}, {"rawPath": {"of": ours.path}, "requestContext": {"http": {"method": "POST"}}}]:
        assert stack.invoke("nurturecloud", event)["statusCode"] == 503

    files = left_behind(stack, tmp_path_factory.getbasetemp(), tmp_path / "left")
    report = search(files, {each.secret: PATH_SECRET for each in [ours, stranger]})
    assert report.found == []
    names = {file.name for file in files}
    assert {"ministack.log", "answers.log", "requests-of-the-functions.log", "cloudwatch-logs.txt"} <= names
    assert any(name.startswith("nurturecloud.") for name in names)


def test_the_finest_level_is_that_of_our_own_lines_only(
    stack: Stack, nurturecloud: Sender, other_path_secrets: None, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    # For this test alone, and not registered.
    path_secret = PathSecret(secret=secrets.token_urlsafe(32))
    stack.put_keys("nurturecloud", path_secret.key())

    with stack.settings("nurturecloud", LOG_LEVEL="trace"):
        nurturecloud.deliver(notification("Created", agent(new_id())), signer=path_secret)

    files = left_behind(stack, tmp_path_factory.getbasetemp(), tmp_path / "left")
    assert search(files, {path_secret.secret: PATH_SECRET}).found == []


def test_the_search_finds_a_secret_in_every_place_where_one_could_be(
    stack: Stack, nurturecloud: Sender, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    # Not a real secret; it is sent as content, as a setting and as a log line.
    canary = secrets.token_urlsafe(32)
    large = agent(new_id(), note=canary, padding="x" * MIB)
    nurturecloud.deliver_batch(notification("Created", agent(new_id(), note=canary), large))
    dead = stack.outputs["DeadLetterQueueUrl"]
    stack.client("sqs").send_message(QueueUrl=dead, MessageBody=canary)
    logs = stack.client("logs")
    group = logs.describe_log_groups()["logGroups"][0]["logGroupName"]
    logs.create_log_stream(logGroupName=group, logStreamName="canary")
    event = {"timestamp": int(time.time() * 1000), "message": f"the secret is {canary}"}
    logs.put_log_events(logGroupName=group, logStreamName="canary", logEvents=[event])

    with stack.settings("nurturecloud", LOG_LEVEL=canary):
        nurturecloud.send(b"{}")
        files = left_behind(stack, tmp_path_factory.getbasetemp(), tmp_path / "left")
    purge(stack, "DeadLetterQueueUrl", canary)

    report = search(files, {canary: PATH_SECRET})
    assert canary not in str(report)
    found = str(report.found)
    for place in [
        "requests-of-the-functions.log",
        "nurturecloud.",
        "events-table.txt",
        "entities-table.txt",
        "object-",
        "cloudwatch-logs.txt",
        "queues.txt",
        "configuration.txt",
    ]:
        assert f"path secret as it is in {place}" in found


@pytest.mark.parametrize(
    "written",
    [
        lambda secret: f"POST /webhooks/nurturecloud/{secret} HTTP/1.1",
        lambda secret: json.dumps({"message": json.dumps({"path": f"/{secret}"})}),
        lambda secret: secret.encode().hex(),
        lambda secret: secret.encode().hex().upper(),
        lambda secret: str(list(secret.encode())),
        lambda secret: base64.b64encode(f"/webhooks/nurturecloud/{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f" /webhooks/nurturecloud/{secret} ".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"ibm-sterling:{secret}\xff".encode()).decode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(tmp_path: Path, written: Callable[[str], str]) -> None:
    # Hyphens and underscores, which the alphabets of base64 disagree about.
    secret = PathSecret(secret="-_" + secrets.token_urlsafe(32)).secret
    innocent, guilty = tmp_path / "innocent.log", tmp_path / "guilty.log"
    innocent.write_text(f"{secret[:-1]}\n{secret[1:]}\n")
    guilty.write_text(f"before\n{written(secret)}\nafter\n")

    report = search([innocent, guilty], {secret: PATH_SECRET})

    assert report.found
    assert all("guilty.log" in place for place in report.found)
    assert (report.files, report.lines) == (2, 5)


def test_a_token_is_expected_in_the_token_endpoint_s_answers_only(tmp_path: Path) -> None:
    token = secrets.token_urlsafe(64)
    answers, log = tmp_path / "token-answers.log", tmp_path / "sterling.log"
    answers.write_text(token)

    log.write_text("")
    assert search([answers, log], {token: ACCESS_TOKEN}).found == []
    assert search([answers, log], {token: ACCESS_TOKEN}).expected == 1
    assert search([answers, log], {token: CLIENT_SECRET}).found != []
    log.write_text(token)
    assert search([answers, log], {token: ACCESS_TOKEN}).found == ["access token as it is in sterling.log (1 times)"]


def test_every_secret_of_the_senders_is_registered(
    path_secret: PathSecret, machnet_signer: MachnetSigner, authority: Authority
) -> None:
    token = authority.token()
    known = secrets_so_far()

    assert known[path_secret.secret] == PATH_SECRET
    assert known[machnet_signer.secret] == SIGNING_SECRET
    assert known[authority.client.client_secret] == CLIENT_SECRET
    assert known[token.split(".")[2]] == ACCESS_TOKEN


def purge(stack: Stack, queue: str, text: str) -> None:
    """Removes the messages with exactly this text from a queue."""
    sqs, url = stack.client("sqs"), stack.outputs[queue]

    def gone() -> bool:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1).get("Messages", [])
        found = [message for message in messages if message["Body"] == text]
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bool(found)

    wait_until(gone, interval=0.5, what="the end of the message")


def test_a_secret_with_a_line_break_is_refused_because_the_search_would_not_find_it() -> None:
    before = secrets_so_far()
    for text in ["a secret of a\nnumber of lines", "a secret of one line\n"]:
        with pytest.raises(ValueError, match="a signing secret of a test has a line break"):
            confidential(text, SIGNING_SECRET)
    assert secrets_so_far() == before
