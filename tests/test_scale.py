"""docs/scale.md and its plot are what deploy/scale.py makes of the template, the measurements, the prices and AWS's quotas."""

from __future__ import annotations

import copy
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import pytest
from bill import MILLION, PRICES, dollars, dollars_by_volume, price_of_volume, units
from limits import QUOTAS, Effect, Stack, rate_at, rounded_up
from month import SECONDS, by_volume, month
from resolved_template import ResolvedTemplate
from scale import LEVELS, PLOT, knob, verdict
from scenarios import settings
from stack import template
from stack.stack import SAM

PYTHON = SAM.parent / "python"
SCALE = template.ROOT / "deploy" / "scale.py"
USUAL_LIMITS = ["copies of the processor", "a new table", "Lambda's invocations"]

StackWith = Callable[..., Stack]


@pytest.fixture(scope="module")
def resolved() -> ResolvedTemplate:
    return ResolvedTemplate(template.TEMPLATE, {})


@pytest.fixture(scope="module")
def stack_with(resolved: ResolvedTemplate) -> StackWith:
    def make(*, parameters: dict[str, str] | None = None, new_account: bool = False, **quotas: float) -> Stack:
        changed: dict[str, Any] = copy.deepcopy(QUOTAS)
        for name, value in quotas.items():
            changed[name]["value"] = value
        found = ResolvedTemplate(template.TEMPLATE, parameters) if parameters else resolved
        return Stack(found, changed, new_account)

    return make


def test_the_page_and_its_plot_are_current() -> None:
    done = subprocess.run([PYTHON, SCALE, "--check"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_the_plot_has_a_title_and_a_description_and_knows_dark_pages() -> None:
    root = ElementTree.fromstring(PLOT.read_text())
    space = {"svg": "http://www.w3.org/2000/svg"}

    assert root.find("svg:title", space) is not None
    assert root.find("svg:desc", space) is not None
    assert "prefers-color-scheme: dark" in PLOT.read_text()
    for line in root.findall("svg:polyline", space):
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) > 100
        assert all(0 <= x <= 860 and 0 <= y <= float(root.attrib["height"]) for x, y in points)


def test_every_quota_says_what_it_is_and_where_it_is_from() -> None:
    for name, quota in QUOTAS.items():
        if name == "assumptions":
            continue
        assert quota.keys() - {"ask", "documented_maximum", "note", "read_in"} == {"value", "unit", "kind", "date", "source"}, name
        assert quota["kind"] in {"soft", "hard", "itself"}, name
        assert quota["source"].startswith(("https://docs.aws.amazon.com/", "https://aws.amazon.com/")), name
        # Whoever can ask has to know for what.
        assert ("ask" in quota) == (quota["kind"] == "soft"), name


def test_every_quota_is_used() -> None:
    text = "".join((template.ROOT / "deploy" / name).read_text() for name in ["limits.py", "scenarios.py", "scale.py", "scale_basis.py"])
    unused = {"queue_pollers_provisioned"}

    assert {name for name in QUOTAS if name != "assumptions" and f'"{name}"' not in text} == unused


def test_the_first_limits_are_the_parameter_the_new_table_and_lambda(stack_with: StackWith) -> None:
    assert [limit.name for limit in stack_with().limits()[:3]] == USUAL_LIMITS


def test_nothing_breaks_at_a_hundred_a_second_but_in_a_new_account(stack_with: StackWith) -> None:
    assert stack_with().first_limit(100) is None
    first = stack_with(new_account=True).first_limit(100)
    assert first is not None
    assert first.name == "Lambda's invocations"
    assert first.effect is Effect.REFUSED


@pytest.mark.parametrize(
    ("quota", "value", "rate", "first"),
    [
        ("http_api_requests", 50, 100, "the HTTP API"),
        ("dynamodb_new_table_write_units", 200, 100, "a new table"),
        ("dynamodb_table_write_units", 200, 100, "the table's write units"),
        ("bus_invocations", 90, 100, "rules on the bus"),
        ("bus_requests", 1, 100, "the event bus"),
        ("lambda_concurrency", 1, 100, "Lambda's invocations"),
        ("queue_pollers", 0.1, 100, "copies of the processor"),
        ("secret_reads", 1e-5, 100, "reads of secrets"),
    ],
)
def test_a_quota_that_is_changed_changes_what_breaks_first(
    stack_with: StackWith, quota: str, value: float, rate: float, first: str
) -> None:
    usual, changed = stack_with(), stack_with(**{quota: value})

    assert usual.first_limit(rate) is None
    found = changed.first_limit(rate)
    assert found is not None
    assert found.name == first
    assert f"*{first}*" in verdict(changed, rate)
    assert verdict(usual, rate).startswith("nothing")


def test_a_parameter_that_is_turned_changes_what_breaks_first(stack_with: StackWith) -> None:
    turned = stack_with(parameters={"ProcessorMaximumConcurrency": "87"}, dynamodb_new_table_write_units=40_000)

    first = turned.first_limit(10_000)
    assert first is not None
    assert first.name == "Lambda's invocations"
    assert "`ProcessorMaximumConcurrency=87`" in knob(stack_with(), 10_000)


def test_the_quotas_that_a_rate_asks_for_let_it_through(stack_with: StackWith) -> None:
    for rate in [5000, 10_000, 33_333]:
        plain = stack_with()
        asked = plain.to_ask_for(rate)
        planned = stack_with(parameters={"ProcessorMaximumConcurrency": str(plain.planned_concurrency(rate))}, **asked)

        def breaks(factor: float) -> list[str]:
            # A new table grows by itself.
            return [limit.name for limit in planned.reached(factor * rate) if limit.name != "a new table"]

        # There is room, but not for twice as much of everything.
        assert breaks(1) == breaks(1.4) == []
        assert breaks(2.1) != []


def test_accounts_share_a_rate_that_is_too_large_for_one(stack_with: StackWith) -> None:
    stack = stack_with()
    cells = [stack.cells(rate, asked=True) for rate in LEVELS]

    assert cells[:3] == [1, 1, 1]
    assert cells[3] > 1
    assert cells == sorted(cells)
    for rate, number in zip(LEVELS, cells, strict=True):
        assert rate / number <= stack.capacity(asked=True)
        assert stack.cells(rate, asked=False) >= number
    # More shards of an hour would not help if nothing else gave way.
    assert stack_with(lambda_concurrency=500).capacity(asked=True) < stack.capacity(asked=True)


def test_a_month_costs_as_much_as_its_units(stack_with: StackWith) -> None:
    stack = stack_with()
    for rate in LEVELS:
        bill = month(stack, rate)
        whole = sum(by_volume(bill).values())
        assert whole <= dollars(bill) * (1 + 1e-9)
        # Never more for a delivery than at a smaller rate.
        if rate > 1:
            before = sum(by_volume(month(stack, rate / 10)).values()) / (rate / 10)
            assert whole / rate <= before
    assert sum(by_volume(month(stack, 1)).values()) == pytest.approx(dollars(month(stack, 1)))


def test_lower_prices_are_for_what_is_above() -> None:
    price = {"price": 1.0, "per": 1, "tiers": [{"above": 10, "price": 0.5}, {"above": 30, "price": 0.1}]}

    assert [price_of_volume(price, number) for number in [4, 10, 20, 31]] == pytest.approx([4, 10, 15, 20.1])
    # Sixty terabytes of Lambda's logs, as AWS announced the tiers.
    assert dollars_by_volume(units(logs_ingestion=60_000)) == pytest.approx(12_500)
    assert dollars_by_volume(units(http_api_request=300 * MILLION)) == pytest.approx(300)
    for name, each in PRICES.items():
        tiers = [{"above": 0, "price": each["price"]}, *each.get("tiers", [])]
        for below, above in zip(tiers, tiers[1:], strict=False):
            assert below["above"] < above["above"], name
            assert below["price"] > above["price"], name


def test_a_rate_is_found_at_which_a_need_is_met() -> None:
    assert rate_at(lambda rate: 3 * rate, 600) == pytest.approx(200)
    assert rate_at(lambda rate: 1000 if rate > 7 else 0, 5) == pytest.approx(7)


def test_a_quota_is_asked_for_in_two_digits() -> None:
    assert [rounded_up(number) for number in [7, 10, 101, 1234, 60_700]] == [7, 10, 110, 1300, 61_000]


def test_the_constants_of_the_code_are_those_of_its_decision(stack_with: StackWith) -> None:
    decision = (template.ROOT / "docs" / "decisions" / "0032-hours-are-widened.md").read_text()

    assert f"has {stack_with().widened_shards} shards" in decision
    assert stack_with().shards == 4


def test_scenarios_are_of_rates_that_their_settings_are_planned_for(stack_with: StackWith) -> None:
    stack = stack_with()
    for setting in settings(stack):
        assert setting.concurrency * stack.rate_of_one() > setting.rate


def test_a_month_has_the_hours_that_the_bill_counts() -> None:
    assert SECONDS == 730 * 3600


def test_the_measurements_are_read_and_not_repeated(stack_with: StackWith) -> None:
    measured = tomllib.loads((template.ROOT / "deploy" / "measured.toml").read_text())
    webhooks = [measured[f"delivery-{each}"]["write_units"] for each in ["accredit", "machnet", "nurturecloud", "sterling"]]

    assert stack_with().table_units == sum(webhooks) / 4
