"""The accounts of a run: each request that was sent against what is found afterwards, from outside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from traffic import PROVIDERS, Delivery

OUTCOMES = ["stored", "duplicate", "repeat", "conflict", "quarantined"]
# The status that makes each provider send again, as its contract says.
SEND_AGAIN = {"accredit": 400, "machnet": 409, "nurturecloud": 503, "sterling": 503}


@dataclass(frozen=True)
class Attempt:
    """One request, and the answer to it."""

    delivery: Delivery
    # When it was sent, in seconds of the run, and how long the answer took.
    at: float
    seconds: float
    # None if there was no answer.
    status: int | None
    # Of an accepted one.
    delivery_id: str = ""
    # The last part of a problem's type.
    reason: str = ""

    @property
    def kind(self) -> str:
        if self.status is None:
            return "unanswered"
        if self.status == 200:
            return "accepted"
        # API Gateway's own 5xx are taken for the same.
        if self.reason == "send-again" or not self.reason and self.status >= 500:
            return "send again"
        return "refused"


@dataclass(frozen=True)
class Recorded:
    """A delivery as it is found afterwards."""

    delivery_id: str
    provider: str
    # The SHA-256 of its body.
    digest: str
    # Of each of its events; a delivery has one here.
    outcomes: tuple[str, ...]


@dataclass
class Account:
    """What a run comes to."""

    # By provider: how many of each.
    table: dict[str, Counter[str]] = field(default_factory=lambda: {provider: Counter() for provider in PROVIDERS})
    # What does not balance, as sentences.
    problems: list[str] = field(default_factory=list)


def balance(
    attempts: Iterable[Attempt],
    published: Iterable[Delivery],
    recorded: Mapping[str, Recorded],
    dead_letters: Iterable[str] = (),
    left: int = 0,
) -> Account:
    """Accounts for every request and every published message.

    `recorded` is by delivery id; `dead_letters` are delivery ids, and `left` is the number of messages that are still in a queue.
    """
    account = Account()
    published, dead = list(published), set(dead_letters)
    genuine: dict[str, Delivery] = {}
    forged: set[str] = set()
    # How often a body may have arrived although nobody was told: an answer was lost, or said "send again" too late.
    doubtful: Counter[str] = Counter()
    acknowledged: dict[str, str] = {}
    for attempt in attempts:
        delivery, row = attempt.delivery, account.table[attempt.delivery.provider]
        row["requests"] += 1
        row[attempt.kind] += 1
        if attempt.reason == "send-again" and attempt.status != SEND_AGAIN[delivery.provider]:
            account.problems.append(f"{delivery.provider} was told to send again with {attempt.status}, which it does not understand")
        if delivery.kind == "forged":
            forged.add(delivery.digest)
            row["forged"] += 1
            if attempt.kind == "accepted":
                account.problems.append(f"a forgery was accepted: {delivery.body[:80]!r}")
            continue
        genuine[delivery.digest] = delivery
        if attempt.kind == "accepted":
            if attempt.delivery_id in acknowledged:
                account.problems.append(f"two answers name the delivery {attempt.delivery_id}")
            acknowledged[attempt.delivery_id] = delivery.digest
        elif attempt.kind == "refused":
            account.problems.append(f"a genuine request was refused with {attempt.status}: {delivery.body[:80]!r}")
        else:
            doubtful[delivery.digest] += 1
    for delivery in published:
        account.table[delivery.provider]["requests"] += 1
        genuine[delivery.digest] = delivery

    for delivery_id, digest in acknowledged.items():
        if delivery_id not in recorded and delivery_id not in dead:
            account.problems.append(f"delivery {delivery_id} was acknowledged and is lost: {genuine[digest].body[:80]!r}")
        elif delivery_id in recorded and recorded[delivery_id].digest != digest:
            account.problems.append(f"delivery {delivery_id} has another body than was sent")
    _check_recorded(account, recorded, genuine, forged, acknowledged, doubtful)
    _check_published(account, published, recorded)
    _check_identities(account, recorded, genuine)
    for delivery_id in dead & acknowledged.keys():
        account.table[genuine[acknowledged[delivery_id]].provider]["dead letters"] += 1
    if left:
        account.problems.append(f"{left} messages are still in the queue")
    return account


def _check_recorded(
    account: Account,
    recorded: Mapping[str, Recorded],
    genuine: Mapping[str, Delivery],
    forged: set[str],
    acknowledged: Mapping[str, str],
    doubtful: Counter[str],
) -> None:
    """Whatever is there was sent by who it says, and no more often."""
    for delivery_id, each in recorded.items():
        row = account.table[each.provider]
        row["deliveries"] += 1
        row.update(each.outcomes)
        if len(each.outcomes) != 1:
            account.problems.append(f"delivery {delivery_id} has {len(each.outcomes)} events instead of one")
        if each.digest in forged:
            account.problems.append(f"a forgery is recorded as delivery {delivery_id}")
        elif each.digest not in genuine:
            account.problems.append(f"nobody sent delivery {delivery_id}")
        elif each.provider != "nowcerts" and delivery_id not in acknowledged:
            row["durable, answer lost"] += 1
            doubtful[each.digest] -= 1
            if doubtful[each.digest] < 0:
                account.problems.append(f"delivery {delivery_id} was recorded without having been sent once more")


def _check_published(account: Account, published: Iterable[Delivery], recorded: Mapping[str, Recorded]) -> None:
    """Each message of the broker is there; redelivered ones may be there again."""
    there = Counter(each.digest for each in recorded.values() if each.provider == "nowcerts")
    for digest, times in Counter(delivery.digest for delivery in published).items():
        if there[digest] < times:
            account.problems.append(f"a message was published {times} times and is recorded {there[digest]} times: {digest}")


def _check_identities(account: Account, recorded: Mapping[str, Recorded], genuine: Mapping[str, Delivery]) -> None:
    """Each event is stored once, each other content under its id is one conflict, and all the rest are duplicates."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for each in recorded.values():
        delivery = genuine.get(each.digest)
        if delivery is None:
            continue
        if delivery.kind == "malformed":
            if set(each.outcomes) != {"quarantined"}:
                account.problems.append(f"delivery {each.delivery_id} is malformed and became {', '.join(each.outcomes)}")
            continue
        found[delivery.provider, delivery.identity] += [(each.digest, outcome) for outcome in each.outcomes]
    stored: Counter[str] = Counter()
    for (provider, identity), outcomes in found.items():
        counted = Counter(outcome for _, outcome in outcomes)
        contents = len({digest for digest, _ in outcomes})
        expected = {"first": 1, "conflict": contents - 1, "duplicate": len(outcomes) - contents}
        first = counted["stored"] + counted["repeat"]
        actual = {"first": first, "conflict": counted["conflict"], "duplicate": counted["duplicate"]}
        if actual != expected:
            account.problems.append(f"{provider} {identity} became {dict(counted)}, expected {expected}")
        alias = genuine[outcomes[0][0]].alias
        if alias:
            stored[alias] += counted["stored"]
    for alias, number in stored.items():
        # All other events about the same state of the same resource are repeats of that one.
        if number != 1:
            account.problems.append(f"{number} events are stored for the state {alias} of a resource, instead of one")
