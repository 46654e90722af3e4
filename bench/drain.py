"""How fast the drain empties a queue."""

from __future__ import annotations

import statistics
from pathlib import Path

from measurements import drain
from stack.rabbitmq import RabbitMq
from table import Row, Section

LATENCY_SECONDS = 0.015
RUNS = 3


def section(folder: Path, binary: Path, quick: bool) -> Section:
    """A backlog in a real RabbitMQ, and AWS at the distance of a region's services."""
    backlog = 3_000 if quick else 30_000
    drain.BINARY = binary
    rabbitmq = RabbitMq(folder / "rabbitmq")
    try:
        answers = drain.FixedAnswers(rabbitmq.secret() | {"queue": drain.QUEUE}, LATENCY_SECONDS)
        runs = []
        for _ in range(RUNS):
            drain.publish(rabbitmq, backlog, 0, 0)
            runs.append(drain.measure(rabbitmq, answers, folder, {}))
    finally:
        rabbitmq.close()
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    rates = [run["per_second"] for run in runs]
    spread = (max(rates) - min(rates)) / middle["per_second"]
    return Section(
        f"drain of {backlog:,} messages, RabbitMQ {rabbitmq.version}, answers {LATENCY_SECONDS * 1000:.0f} ms late",
        [
            Row("messages taken", "1/s", [middle["per_second"]], spread),
            Row("share of a processor", "", [middle["processor_share"]]),
            Row("peak memory", "MB", [middle["peak_megabytes"]]),
        ],
    )
