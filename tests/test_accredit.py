"""The stories of Accredit deliveries, from the request to the item."""

from __future__ import annotations

import hashlib

import pytest
from senders import Sender, message_body, new_id
from signers import AccreditSigner, accredit_event
from stack.stack import Stack


def test_a_first_delivery_is_stored_under_the_digest_of_its_body(stack: Stack, accredit: Sender) -> None:
    export = new_id()
    body = accredit_event(export)
    job = new_id()

    sent, outcome = accredit.deliver(body, job_id=job, attempt=0)

    assert outcome == "stored"
    [item] = stack.events(id=hashlib.sha256(body).hexdigest())
    assert item["outcome"] == "stored"
    assert item["source"] == "/webhooks/accredit/main"
    assert item["type"] == "accredit.BadgeExportZipFile.Created"
    assert item["subject"] == export
    assert item["time"] == "2026-09-01T09:29:38Z"
    assert item["data"].encode() == body
    assert item["delivery_id"] == sent.delivery_id
    assert item["attributes"]["job_id"] == job
    assert item["attributes"]["job_attempt"] == "0"
    assert "same_job_as" not in item


def test_a_retry_is_a_duplicate(stack: Stack, accredit: Sender) -> None:
    body, job = accredit_event(new_id()), new_id()
    first, _ = accredit.deliver(body, job_id=job, attempt=0)

    _, outcome = accredit.deliver(body, job_id=job, attempt=1)

    assert outcome == "duplicate"
    [item] = stack.events(id=hashlib.sha256(body).hexdigest())
    assert item["delivery_id"] == first.delivery_id


def test_a_replay_under_a_forged_job_id_is_a_duplicate(stack: Stack, accredit: Sender) -> None:
    body = accredit_event(new_id())
    accredit.deliver(body, job_id=new_id(), attempt=0)

    _, outcome = accredit.deliver(body, job_id=new_id(), attempt=0)

    assert outcome == "duplicate"
    assert len(stack.events(id=hashlib.sha256(body).hexdigest())) == 1


def test_another_body_under_a_known_job_id_is_stored_with_a_hint(stack: Stack, accredit: Sender) -> None:
    forged, genuine, job = accredit_event(new_id()), accredit_event(new_id()), new_id()
    accredit.deliver(forged, job_id=job, attempt=0)

    _, outcome = accredit.deliver(genuine, job_id=job, attempt=0)

    assert outcome == "stored"
    [item] = stack.events(id=hashlib.sha256(genuine).hexdigest())
    assert item["outcome"] == "stored"
    assert item["same_job_as"] == hashlib.sha256(forged).hexdigest()


def test_a_malformed_body_is_quarantined_with_its_reason(stack: Stack, accredit: Sender) -> None:
    sent, outcome = accredit.deliver(b'{"Event": 1}')

    assert outcome == "quarantined"
    [item] = stack.items(delivery_id=sent.delivery_id)
    assert item["reason"]


def test_bytes_that_are_not_text_are_kept_exactly(stack: Stack, accredit: Sender) -> None:
    body = bytes(range(256))

    sent, outcome = accredit.deliver(body, content_type="application/octet-stream")

    assert outcome == "quarantined"
    [item] = stack.items(delivery_id=sent.delivery_id)
    assert message_body(item["document"]) == body


def test_a_wrong_signature_is_answered_400_and_nothing_is_queued(stack: Stack, accredit: Sender) -> None:
    body = accredit_event(new_id())
    sends = stack.proxy.count("AmazonSQS.SendMessage")

    sent = accredit.send(body, signer=AccreditSigner())

    assert sent.answer.status == 400
    assert "signature" in sent.answer.problem()["detail"]
    assert (sent.line["outcome"], sent.line["reason"]) == ("rejected", "signature-mismatch")
    assert stack.proxy.count("AmazonSQS.SendMessage") == sends


def test_a_padding_that_is_not_configured_is_rejected(accredit: Sender, accredit_signer: AccreditSigner) -> None:
    pss = AccreditSigner(pss=True, private_key=accredit_signer.private_key)

    sent = accredit.send(accredit_event(new_id()), signer=pss)

    assert sent.answer.status == 400
    assert sent.line["reason"] == "signature-mismatch"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "signature-missing"),
        ({"X-Signature": "not base64"}, "signature-malformed"),
        ({"X-Signature": "YWJj"}, "signature-malformed"),
    ],
)
def test_a_missing_or_malformed_signature_is_answered_400(
    stack: Stack, accredit: Sender, headers: dict[str, str], reason: str
) -> None:
    calls = len(stack.proxy.calls)

    sent = accredit.post(accredit_event(new_id()), headers)

    assert sent.answer.status == 400
    assert "x-signature" in sent.answer.problem()["detail"].lower()
    assert sent.line["reason"] == reason
    assert len(stack.proxy.calls) == calls, "a refused request calls nothing"
