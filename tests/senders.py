"""A provider's side of the stories: signs, posts, and looks up the outcome of a delivery."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

from authority import Bearer, FreshTokens, sterling_batch, sterling_delivery, sterling_event
from notifications import agent, notification
from signers import AccreditSigner, MachnetSigner, PathSecret, accredit_event, machnet_event
from simulated import SimulatedSigner
from stack.stack import Answer, Line, Stack
from stack.wait import wait_until


Signer = MachnetSigner | AccreditSigner | PathSecret | Bearer | FreshTokens | SimulatedSigner


@dataclass(frozen=True)
class Sent:
    """One request: the answer to it, and the line that the intake logged."""

    answer: Answer
    line: Line

    @property
    def delivery_id(self) -> str:
        return self.line["delivery_id"]


class Sender:
    """Posts to one provider's webhook."""

    def __init__(self, stack: Stack, provider: str, signer: Signer) -> None:
        self.stack = stack
        self.provider = provider
        self.signer = signer

    def post(self, body: bytes, headers: dict[str, str], path: str | None = None) -> Sent:
        """Posts with exactly these headers, to the provider's path or another one."""
        before = {line["delivery_id"] for line in self.stack.deliveries(self.provider)}
        answer = self.stack.post(self.provider, body, headers, path)

        def new_lines() -> list[Line]:
            return [line for line in self.stack.deliveries(self.provider) if line["delivery_id"] not in before]

        lines = wait_until(new_lines, what=f"the line of a {self.provider} delivery; answered {answer}")
        assert len(lines) == 1, lines
        assert lines[0]["status"] == answer.status
        return Sent(answer, lines[0])

    def send(self, body: bytes, signer: Any = None, content_type: str | None = None, **headers: Any) -> Sent:
        """Signs and posts."""
        signer = signer or self.signer
        signed = signer.headers(body, **headers)
        path = signer.path if isinstance(signer, PathSecret) else None
        return self.post(body, signed | ({"Content-Type": content_type} if content_type else {}), path)

    def deliver(self, body: bytes, **options: Any) -> tuple[Sent, str]:
        """Signs and posts a delivery that must be accepted, waits until it is processed, and returns its outcome."""
        sent, [outcome] = self.deliver_batch(body, **options)
        return sent, outcome

    def deliver_batch(self, body: bytes, **options: Any) -> tuple[Sent, list[str]]:
        """The same for a delivery of several events, with the outcome of each."""
        sent = self.send(body, **options)
        assert sent.answer.status == 200, sent
        assert sent.line["outcome"] == "accepted"
        assert json.loads(sent.answer.body) == {"delivery_id": sent.delivery_id}
        return sent, outcomes(self.stack.wait_for_record(sent.delivery_id)[-1])

    def outcome(self, delivery_id: str) -> str:
        """The outcome of the only event of a delivery."""
        [outcome] = outcomes(self.stack.wait_for_record(delivery_id)[-1])
        return outcome


def outcomes(record: Line) -> list[str]:
    """The outcomes of a record's first twenty events by index, from a line such as `0=stored,1=duplicate`."""
    pairs = [entry.split("=") for entry in record["outcomes"].split(",")]
    assert [int(index) for index, _ in pairs] == list(range(len(pairs)))
    return [outcome for _, outcome in pairs]


def message_body(document: str) -> bytes:
    """The body inside a queue message."""
    [(form, text)] = json.loads(document)["body"].items()
    return {"text": str.encode, "base64": base64.b64decode}[form](text)


def new_id() -> str:
    return str(uuid.uuid4())


def new_event(provider: str) -> bytes:
    """A body with one event that was never seen before."""
    if provider == "machnet":
        return machnet_event(new_id(), new_id())
    if provider == "accredit":
        return accredit_event(new_id())
    if provider == "nurturecloud":
        return notification("Created", agent(new_id()))
    if provider == "sterling":
        return sterling_delivery(sterling_batch(sterling_event(new_id())))
    return SimulatedSigner(provider).event()
