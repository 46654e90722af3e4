"""The sections of docs/scale.md on several accounts, on what the page rests on, and on AWS's quotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cost import bullet, grid, paragraph
from limits import Stack
from rounding import approximately, rate_text

KINDS = {"soft": "soft", "hard": "hard", "itself": "grows by itself"}


def cells_section(stack: Stack, levels: Sequence[float]) -> list[str]:
    share = stack.assumed["planned_share"]
    rows = [[rate_text(rate), str(stack.cells(rate, asked=False)), str(stack.cells(rate, asked=True))] for rate in levels]
    return [
        "## More than one account",
        paragraph(
            f"""One account takes {approximately(stack.capacity(asked=False))} deliveries a second without asking AWS for
            anything, and {approximately(stack.capacity(asked=True))} if AWS raises each soft quota to
            {stack.assumed["raised_factor"]} times its default and one provider sends everything. Used to {100 * share:.0f} %, a
            level needs these accounts:"""
        ),
        grid(["deliveries a second", "accounts with default quotas", "accounts with quotas raised"], rows),
        "\n".join(
            bullet(text)
            for text in [
                """An account with a stack is a **cell**: API, functions, queue, tables, bus, alarms, all its own. Nothing is
                shared, so a flood or a mistake stays in its cell, and a release goes to one cell first. Each is deployed by
                `make deploy` with that account's credentials.""",
                """Divide by **subscription**: one account of a provider, or one business, has one URL and so one cell. Whether
                an event was seen before is known in its cell only, so a subscription must not be spread over two. One that
                exceeds a cell alone has to be divided at the provider.""",
                """Give each cell a **host name** of its own (`DomainName`), and keep a table of which subscription has which.
                Consumers read from all buses: a rule of each cell's bus can send to a bus in one account.""",
                """A **region** divides the quotas in the same way as an account, at the price of calls between regions.""",
            ]
        ),
    ]


def basis_section(stack: Stack) -> list[str]:
    assumed = stack.assumed
    return [
        "## Computed, measured, assumed",
        "\n".join(
            bullet(text)
            for text in [
                """**Measured**, on the emulated stack: calls, write and read units, bytes stored and logged for a delivery, and
                the metrics that are sent ([deploy/measured.toml](../deploy/measured.toml)). Measured as whole processes on one
                machine: the processor time of a webhook.""",
                """**Computed**, by `deploy/scale.py` from those, from [template.yaml](../template.yaml), from
                [deploy/quotas.toml](../deploy/quotas.toml) and [deploy/prices.toml](../deploy/prices.toml): everything in the
                tables. Tests fail when this page is out of date.""",
                f"""**Assumed**: the latencies of SQS, DynamoDB and EventBridge inside a region (top of measured.toml);
                {assumed["between_batches_milliseconds"]} ms between two batches of a poller; that batches are as full as what
                arrives while the first pollers are busy; that a batch which fails does so in
                {assumed["failing_batch_milliseconds"]} ms and that Lambda then falls back to its first pollers; that the oldest
                messages are received first; that AWS grants {assumed["raised_factor"]} times a soft quota for which its page
                names no maximum; that EventBridge counts calls and not their entries.""",
                """**Not tried.** None of these rates was run on AWS. Before you depend on one above the first limit, load a
                stack of your own with it. Not considered: other things in the account that use the same quotas, quotas of your
                consumers, CloudWatch's own, a region with lower ones, and a surcharge on messages with a group, which others
                report of SQS.""",
            ]
        ),
    ]


def quota_section(stack: Stack) -> list[str]:
    def source(quota: Mapping[str, object]) -> str:
        return f"[{str(quota['source']).rsplit('/', 1)[-1].removesuffix('.html')[:40]}]({quota['source']})"

    def kind(quota: Mapping[str, object]) -> str:
        most = f", to {quota['documented_maximum']}" if "documented_maximum" in quota else ""
        return KINDS[str(quota["kind"])] + most

    rows = [
        [f"{each['value']:,}", str(each["unit"]), kind(each), str(each.get("note", "")), str(each["date"]), source(each)]
        for name, each in stack.quotas.items()
        if name != "assumptions"
    ]
    return [
        "## Quotas",
        paragraph("*Soft*: AWS raises it on request. *Hard*: it can't be raised, or nothing says that it can."),
        grid(["quota", "of what", "kind", "", "copy of", "AWS's page"], rows, texts=["of what", "kind", "", "AWS's page"]),
    ]
