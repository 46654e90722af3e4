"""The accounts of a run: the functions' log lines and counters, which must agree."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bill import WEBHOOKS
from senders import outcomes
from stack.stack import Stack

# The reasons of answers that say "send it again".
FAULTS = {
    "configuration-invalid",
    "no-active-key",
    "secrets-unavailable",
    "request-unreadable",
    "queue-unavailable",
    "deadline-exceeded",
    "panic",
}

# What begins the reasons of requests whose proof was missing, malformed or did not hold.
UNVERIFIED = ("signature-", "token-", "path-secret-")

# Outcomes of events that are counted without their provider.
WITHOUT_PROVIDER = {"conflict", "quarantined"}

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], int]


class Accounting:
    """The functions' lines and counters since this value was made."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._seen = {line["delivery_id"] for line in self._all_deliveries()}
        self._records = Counter(line["message_id"] for line in stack.records())
        self._counters = Counter(self._all_counters())

    def _all_deliveries(self) -> list[dict[str, Any]]:
        return [line for provider in WEBHOOKS for line in self.stack.deliveries(provider)]

    def _all_counters(self) -> Counters:
        sums: Counter[Any] = Counter()
        for binary in [*WEBHOOKS, "processor"]:
            sums.update(self.stack.counters(binary))
        return sums

    def deliveries(self) -> list[dict[str, Any]]:
        return [line for line in self._all_deliveries() if line["delivery_id"] not in self._seen]

    def records(self) -> list[dict[str, Any]]:
        return [line for line in self.stack.records() if line["message_id"] not in self._records]

    def outcomes(self) -> dict[tuple[str, int], set[str]]:
        """The reported outcomes of each event; more than one if a redelivery had another outcome."""
        found: dict[tuple[str, int], set[str]] = {}
        for record in self.records():
            for index, outcome in enumerate(outcomes(record)):
                found.setdefault((record["delivery_id"], index), set()).add(outcome)
        return found

    def failed(self) -> int:
        """Number of records that failed and were redelivered."""
        return self.counters().get(("failed", ()), 0)

    def counters(self) -> Counters:
        return {key: value for key, value in (Counter(self._all_counters()) - self._counters).items() if value}

    def expected_counters(self) -> Counters:
        """The counters that the lines add up to."""
        sums: Counter[Any] = Counter()
        for line in self.deliveries():
            provider = (("provider", line["provider"]),)
            reason = line.get("reason", "")
            if line["outcome"] == "accepted":
                sums["accepted", provider] += 1
            elif reason in FAULTS:
                sums["faults", provider] += 1
            else:
                sums["rejected", (("reason", reason),)] += 1
            if line["outcome"] == "unknown":
                sums["unknown", provider] += 1
            if reason.startswith(UNVERIFIED):
                sums["unverified", provider] += 1
        for line in self.records():
            for outcome in outcomes(line):
                sums[outcome, () if outcome in WITHOUT_PROVIDER else (("provider", line["provider"]),)] += 1
        return dict(sums)
