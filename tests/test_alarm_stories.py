"""The alarms of the template over hours and days of metrics, as CloudWatch evaluates them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import bill
import pytest
from alarm_evaluation import ALARM, DAY, HOUR, MINUTE, Alarm, Metrics, MetricId, alarms_raised
from stack import template
from template_check.metrics import NAMESPACE
from template_check.parameter_sets import EVERYTHING, base_sets
from template_check.resolve import Resolved, resolve

QUEUE: MetricId = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", (("QueueName", "${Queue.QueueName}"),))
INTERVALS = {"15m": 15 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "1d": DAY, "3d": 3 * DAY, "7d": 7 * DAY}
PROVIDERS = list(bill.PARAMETERS.values())
WEBHOOKS = [bill.PARAMETERS[each] for each in bill.WEBHOOKS]
# How many data points are retrieved beside those that are evaluated is documented by examples only.
FURTHER_POINTS = [0, 2, 5]
# Nor is it documented whether FILL makes a series of a metric without any data point.
FILLS = [True, False]


@functools.cache
def translated() -> tuple[template.Template, dict[str, Any]]:
    """The template with every option on, and the parameters for that."""
    original = template.original()
    parameters = base_sets(original)[EVERYTHING]
    return template.translate(original, parameters), parameters


def stack(**parameters: str) -> Resolved:
    whole, options = translated()
    return resolve(whole, "", options | parameters)


def counter(name: str, provider: str = "") -> MetricId:
    return (NAMESPACE, name, (("provider", provider.lower()),) if provider else ())


class Story:
    """A stack from its creation on, at the moment 0, and one alarm of it."""

    def __init__(self, name: str, further_points: int = 2, created: float = 0, **parameters: str) -> None:
        self.properties: dict[str, Any] = stack(**parameters).of_type("AWS::CloudWatch::Alarm")[name]
        self.further_points = further_points
        self.fills = True
        self.created = created
        self.metrics = Metrics()

    def queue_exists(self, until: float) -> None:
        """SQS reports on a queue that Lambda polls, every minute from its creation on."""
        for at in range(0, int(until), MINUTE):
            self.metrics.put(QUEUE, at, 0)

    def send(self, metric: MetricId, moments: Iterable[float], value: float = 1) -> Story:
        for at in moments:
            self.metrics.put(metric, at, value)
        return self

    def history(self, until: float) -> list[tuple[float, str]]:
        alarm = Alarm(self.properties, further_points=self.further_points, fills_empty_series=self.fills)
        return alarm.history(self.metrics, until, since=self.created + alarm.interval)

    def raised(self, until: float) -> list[float]:
        return alarms_raised(self.history(until))


# Proofs that do not hold


@pytest.mark.parametrize("provider", WEBHOOKS)
@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_a_wrong_key_that_is_retried_raises_an_alarm_although_another_key_s_deliveries_are_accepted(
    provider: str, further_points: int
) -> None:
    story = Story(f"{provider}UnverifiedAlarm", further_points)
    story.send(counter("accepted", provider), range(0, 2 * HOUR, 10))
    story.send(counter("unverified", provider), [HOUR, HOUR + 10 * MINUTE, HOUR + 30 * MINUTE])

    [at] = story.raised(until=2 * HOUR)

    assert HOUR + 10 * MINUTE < at <= HOUR + 12 * MINUTE


@pytest.mark.parametrize("name", [*(f"{provider}UnverifiedAlarm" for provider in WEBHOOKS), "SterlingTokenUnverifiedAlarm"])
@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_a_single_request_of_a_scanner_raises_no_alarm(name: str, further_points: int) -> None:
    metric = counter("tokens_unverified") if "Token" in name else counter("unverified", name.removesuffix("UnverifiedAlarm"))

    story = Story(name, further_points).send(metric, [HOUR])

    assert story.raised(until=DAY) == []


def test_a_scanner_of_every_two_hours_raises_no_alarm() -> None:
    story = Story("MachnetUnverifiedAlarm").send(counter("unverified", "Machnet"), range(0, DAY, 2 * HOUR))

    assert story.raised(until=DAY) == []


def test_with_a_threshold_as_many_requests_in_each_of_two_periods_raise_no_alarm() -> None:
    twice = [HOUR, HOUR + 1, HOUR + 20 * MINUTE, HOUR + 20 * MINUTE + 1]
    silent = Story("MachnetUnverifiedAlarm", UnverifiedThreshold="2").send(counter("unverified", "Machnet"), twice)
    raised = Story("MachnetUnverifiedAlarm", UnverifiedThreshold="1").send(counter("unverified", "Machnet"), twice)

    assert (silent.raised(until=DAY), len(raised.raised(until=DAY))) == ([], 1)


@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_two_requests_of_a_scanner_shortly_after_each_other_raise_at_most_one_alarm(further_points: int) -> None:
    story = Story("MachnetUnverifiedAlarm", further_points)
    story.send(counter("unverified", "Machnet"), [HOUR + 55, HOUR + 65])

    assert len(story.raised(until=DAY)) <= 1


def test_clients_that_are_refused_raise_an_alarm_although_another_one_gets_tokens() -> None:
    story = Story("SterlingTokenUnverifiedAlarm")
    story.send(counter("tokens_issued"), range(0, DAY, HOUR))
    story.send(counter("tokens_unverified"), range(0, DAY, 20 * MINUTE))

    assert len(story.raised(until=DAY)) == 1


# Faults of ours


@pytest.mark.parametrize("provider", WEBHOOKS)
def test_one_fault_of_ours_raises_an_alarm_within_a_minute_and_ends(provider: str) -> None:
    story = Story(f"{provider}FaultsAlarm").send(counter("faults", provider), [HOUR + 1])

    [(raised, state), (ended, _)] = story.history(until=2 * HOUR)[1:]

    assert (raised, state) == (HOUR + MINUTE, ALARM)
    assert ended <= HOUR + 20 * MINUTE


def test_a_request_to_no_route_and_one_without_an_answer_raise_alarms_of_their_own() -> None:
    unrouted, unanswered = (
        [len(Story(name).send(counter(metric), [HOUR]).raised(until=DAY)) for metric in ["unrouted", "unanswered"]]
        for name in ["UnroutedRequestsAlarm", "UnansweredRequestsAlarm"]
    )

    assert (unrouted, unanswered) == ([1, 0], [0, 1])


def test_a_record_that_fails_once_raises_no_alarm_and_one_that_keeps_failing_does() -> None:
    once = Story("RecordsFailedAlarm").send(counter("failed"), [HOUR])
    # Each three minutes, the queue's visibility timeout.
    often = Story("RecordsFailedAlarm").send(counter("failed"), range(HOUR, 2 * HOUR, 3 * MINUTE))

    assert once.raised(until=DAY) == []
    [at] = often.raised(until=DAY)
    assert HOUR + 10 * MINUTE <= at <= HOUR + 16 * MINUTE


# Silence


SILENCES = [(provider, interval) for provider in PROVIDERS for interval in (INTERVALS if provider == "Machnet" else ["1h"])]


def silent(provider: str, interval: str, further_points: int = 2) -> Story:
    return Story(f"{provider}SilentAlarm", further_points, **{f"{provider}Silence": interval})


@pytest.mark.parametrize(("provider", "interval"), SILENCES)
@pytest.mark.parametrize("further_points", FURTHER_POINTS)
@pytest.mark.parametrize("fills", FILLS)
def test_a_new_stack_is_silent_only_after_the_whole_interval(
    provider: str, interval: str, further_points: int, fills: bool
) -> None:
    seconds = INTERVALS[interval]
    story = silent(provider, interval, further_points)
    story.fills = fills
    story.queue_exists(until=3 * seconds)

    [at] = story.raised(until=3 * seconds)

    # The last data point may be that of a period which has just begun.
    period = Alarm(story.properties).period
    assert seconds - period <= at <= seconds + max(period, HOUR if seconds > DAY else 0)


@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_a_provider_that_falls_silent_is_noticed_after_the_interval_and_the_alarm_ends_with_a_delivery(
    further_points: int,
) -> None:
    story = silent("Machnet", "1h", further_points)
    story.queue_exists(until=10 * HOUR)
    story.send(counter("accepted", "Machnet"), [*range(0, 3 * HOUR, 10 * MINUTE), 8 * HOUR])
    last = 3 * HOUR - 10 * MINUTE

    [(raised, _), (ended, _)] = story.history(until=8 * HOUR + 30 * MINUTE)[1:]

    assert last + HOUR <= raised <= last + HOUR + 10 * MINUTE
    assert 8 * HOUR < ended <= 8 * HOUR + 2 * MINUTE


@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_a_provider_that_sends_once_within_each_interval_is_not_silent(further_points: int) -> None:
    story = silent("Machnet", "1h", further_points)
    story.queue_exists(until=2 * DAY)
    story.send(counter("accepted", "Machnet"), range(0, 2 * DAY, 55 * MINUTE))
    # Another provider's deliveries are none of its own.
    other = silent("Accredit", "1h", further_points)
    other.metrics = story.metrics

    assert story.raised(until=2 * DAY) == []
    assert len(other.raised(until=2 * DAY)) == 1


# NowCerts


@pytest.mark.parametrize("schedule", [MINUTE, 15 * MINUTE, HOUR])
@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_a_queue_in_use_at_every_run_raises_busy_at_any_schedule(schedule: int, further_points: int) -> None:
    story = Story("NowCertsDrainBusyAlarm", further_points, NowCertsSchedule=f"rate({schedule // MINUTE} minutes)")
    busy = counter("drain_busy", "NowCerts")
    story.send(busy, range(0, DAY, schedule), 0).send(busy, range(DAY, DAY + 6 * HOUR, schedule), 1)
    story.send(busy, range(DAY + 6 * HOUR, 2 * DAY, schedule), 0)

    raised = story.raised(until=2 * DAY)

    assert DAY < raised[0] <= DAY + 5 * MINUTE + schedule
    assert raised[-1] <= DAY + 6 * HOUR


@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_a_queue_in_use_at_every_hourly_run_raises_busy_once_until_a_run_has_the_queue(further_points: int) -> None:
    story = Story("NowCertsDrainBusyAlarm", further_points)
    busy = counter("drain_busy", "NowCerts")
    story.send(busy, range(0, 12 * HOUR, HOUR), 1).send(busy, range(12 * HOUR, DAY, HOUR), 0)

    [(_, raised), (ended, _)] = story.history(until=DAY)

    assert (raised, ended) == (ALARM, 12 * HOUR + MINUTE)


@pytest.mark.parametrize("further_points", FURTHER_POINTS)
def test_one_busy_run_among_runs_of_every_minute_raises_no_alarm(further_points: int) -> None:
    story = Story("NowCertsDrainBusyAlarm", further_points)
    busy = counter("drain_busy", "NowCerts")
    story.send(busy, (at for at in range(0, 6 * HOUR, MINUTE) if at != 3 * HOUR), 0).send(busy, [3 * HOUR], 1)

    assert story.raised(until=6 * HOUR) == []


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_queue_that_no_run_drains_raises_not_drained_after_the_interval(interval: str) -> None:
    seconds = INTERVALS[interval]
    story = Story("NowCertsNotDrainedAlarm", NowCertsDrainInterval=interval)
    story.queue_exists(until=4 * seconds)
    # Runs that fail, or are paused, drain nothing.
    story.send(counter("drain_failed", "NowCerts"), range(0, 4 * seconds, seconds // 10))
    story.send(counter("drained", "NowCerts"), range(0, seconds, seconds // 10))
    last = seconds - seconds // 10

    [at] = story.raised(until=4 * seconds)

    assert last + seconds <= at <= last + seconds + max(Alarm(story.properties).period, 2 * HOUR if seconds > DAY else 0)


def test_a_failed_run_raises_drain_failed() -> None:
    story = Story("NowCertsDrainFailedAlarm").send(counter("drain_failed", "NowCerts"), [HOUR])

    assert story.raised(until=DAY) == [HOUR + MINUTE]


# The resync


def test_a_resync_that_never_completes_is_noticed() -> None:
    story = Story("NurtureCloudResyncNotCompletedAlarm", NurtureCloudResyncInterval="3d")
    story.queue_exists(until=14 * DAY)
    # Each run is cut off by Lambda, or leaves something for the next one.
    story.send(counter("resync_accepted"), range(0, 14 * DAY, DAY))
    story.send(counter("resync_completed"), [6 * HOUR, DAY + 6 * HOUR])

    [at] = story.raised(until=14 * DAY)

    assert 4 * DAY + 6 * HOUR <= at <= 4 * DAY + 8 * HOUR


def test_a_resync_that_completes_each_day_raises_nothing() -> None:
    story = Story("NurtureCloudResyncNotCompletedAlarm", NurtureCloudResyncInterval="3d")
    story.queue_exists(until=14 * DAY)
    story.send(counter("resync_completed"), range(6 * HOUR, 14 * DAY, DAY))

    assert story.raised(until=14 * DAY) == []


# What has no data yet


@pytest.mark.parametrize("name", stack().of_type("AWS::CloudWatch::Alarm"))
def test_no_alarm_is_raised_in_the_first_period_of_a_stack_that_nobody_uses(name: str) -> None:
    story = Story(name)
    story.queue_exists(until=DAY)

    assert story.raised(until=min(14 * MINUTE, Alarm(story.properties).period)) == []
