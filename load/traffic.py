"""What is sent in a run: genuine requests, the same again, other content under the same id, what cannot be read, and forgeries."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from authority import Authority, Bearer, FreshTokens, sterling_batch, sterling_delivery, sterling_event
from notifications import agent, notification
from publisher import policy
from signers import AccreditSigner, MachnetSigner, PathSecret, accredit_event, machnet_event

Kind = Literal["event", "malformed", "forged"]
WEBHOOKS = ["accredit", "machnet", "nurturecloud", "sterling"]
PROVIDERS = [*WEBHOOKS, "nowcerts"]


@dataclass(frozen=True)
class Delivery:
    """What a provider sends, as often as it takes."""

    provider: str
    kind: Kind
    # What makes two events the same; of one event each, as all deliveries here have.
    identity: str
    body: bytes
    # Of Machnet's: two events of one resource in one state are a repeat of each other.
    alias: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass
class Keys:
    """Each provider's key, and a stranger's."""

    machnet: MachnetSigner = field(default_factory=lambda: MachnetSigner("machnet-test-secret-of-32-bytes!"))
    accredit: AccreditSigner = field(default_factory=AccreditSigner)
    nurturecloud: PathSecret = field(default_factory=PathSecret)
    authority: Authority = field(default_factory=Authority)
    stranger: AccreditSigner = field(default_factory=AccreditSigner)

    def documents(self) -> dict[str, dict[str, Any]]:
        """The files of keys of a data directory."""
        return {name: {"keys": [getattr(self, name).key()]} for name in ["machnet", "accredit", "nurturecloud"]} | {
            "sterling": self.authority.verification()
        }

    def request(self, delivery: Delivery) -> tuple[str, dict[str, str]]:
        """The path and the headers of a request, signed now."""
        is_forged, body = delivery.kind == "forged", delivery.body
        match delivery.provider:
            case "machnet":
                signer = MachnetSigner("not-the-secret-of-anyone") if is_forged else self.machnet
            case "accredit":
                signer = self.stranger if is_forged else self.accredit
            case "nurturecloud":
                path = PathSecret(secret="A" * 43).path if is_forged else self.nurturecloud.path
                return path, self.nurturecloud.headers(body)
            case _:
                signer = Bearer("not.a.token") if is_forged else FreshTokens(self.authority)
        return f"/webhooks/{delivery.provider}", signer.headers(body)


def deliveries(provider: str, seed: int) -> Iterator[Delivery]:
    """An endless mix for one provider, the same for the same seed."""
    drawn = random.Random(f"{provider} {seed}")
    earlier: list[Delivery] = []
    while True:
        share = drawn.random()
        if earlier and share < 0.2:
            # Again, by the provider's own doubt whether it arrived; often much later.
            yield drawn.choice(earlier[-500:])
        elif share < 0.3 and provider != "nowcerts":
            yield Delivery(provider, "forged", "", _event(provider, _id(drawn), "forged"))
        elif share < 0.35 and provider != "nowcerts":  # what NowCerts sends has no form that it could lack
            yield Delivery(provider, "malformed", "", b"not an event " + _id(drawn).encode())
        elif earlier and share < 0.4 and provider in {"machnet", "nowcerts"}:
            first = drawn.choice(earlier[-500:])
            yield _other_content(first, drawn)
        elif earlier and share < 0.45 and provider == "machnet":
            # Another event about the same state of the same resource.
            first = drawn.choice(earlier[-500:])
            event_id = _id(drawn)
            yield Delivery(provider, "event", event_id, machnet_event(event_id, first.alias), first.alias)
        else:
            event_id, alias = _id(drawn), _id(drawn) if provider == "machnet" else ""
            delivery = Delivery(provider, "event", event_id, _event(provider, event_id, alias), alias)
            earlier.append(delivery)
            yield delivery


def _other_content(first: Delivery, drawn: random.Random) -> Delivery:
    body = json.dumps(json.loads(first.body) | {"note": _id(drawn)}).encode()
    return Delivery(first.provider, "event", first.identity, body, first.alias)


def _id(drawn: random.Random) -> str:
    return f"{drawn.getrandbits(128):032x}"


def _event(provider: str, event_id: str, other_id: str) -> bytes:
    written: dict[str, Callable[[], bytes]] = {
        "machnet": lambda: machnet_event(event_id, other_id),
        "accredit": lambda: accredit_event(event_id),
        "nurturecloud": lambda: notification("Created", agent(event_id)),
        "sterling": lambda: sterling_delivery(sterling_batch(sterling_event(event_id))),
        "nowcerts": lambda: json.dumps(policy(0) | {"Id": event_id}).encode(),
    }
    return written[provider]()
