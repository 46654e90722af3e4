"""The simulation of the queue behaves as arithmetic says it must, and its rules are those of SQS and Lambda."""

from __future__ import annotations

from dataclasses import replace

import pytest
from queue_simulation import Bucket, Front, Processing, Ramp, Run, Simulation

# Ten deliveries in half a second, so twenty a second and copy.
PROCESSING = Processing(
    batch=10,
    batch_seconds=0.5,
    failing_batch_seconds=0.1,
    maximum_concurrency=100,
    first_pollers=5,
    pollers_per_second=5,
)
FRONT = Front(api_rate=1000, api_burst=500, invocations=1e9, function_burst=1e9, function_growth=1e9)
OUTAGE = range(100, 400)


def accounted(run: Run) -> float:
    return run.refused + run.done + run.waiting + run.dead + run.expired


@pytest.mark.parametrize(
    "processing",
    [
        PROCESSING,
        replace(PROCESSING, maximum_concurrency=2),
        replace(PROCESSING, retention_seconds=120),
        replace(PROCESSING, visibility_seconds=10, maximum_receives=3),
        replace(PROCESSING, table_rate=80, maximum_table_rate=300, table_doubling_seconds=60),
        replace(PROCESSING, maximum_in_flight=500),
    ],
)
def test_whatever_was_offered_is_refused_done_waiting_dead_or_expired(processing: Processing) -> None:
    # A burst beyond what the API takes, and an outage.
    run = Simulation(processing, FRONT).run(900, lambda now: 3000 if 50 <= now < 60 else 70.5, lambda now: now in OUTAGE)

    assert run.offered == pytest.approx(890 * 70.5 + 10 * 3000)
    assert run.refused > 0
    assert accounted(run) == pytest.approx(run.offered, rel=1e-9)


def test_what_waits_over_time_is_what_each_delivery_waited() -> None:
    """Little's law for a queue that begins and ends empty: the integral of its length is the sum of the waits."""
    run = Simulation(PROCESSING).run(600, lambda now: 900 if 100 <= now < 160 else 60)

    assert run.waiting == pytest.approx(0, abs=1e-6)
    assert run.most_waiting > 1000
    assert sum(second.waiting for second in run.seconds) == pytest.approx(run.waited)


def test_a_steady_queue_is_as_long_as_its_rate_times_the_wait() -> None:
    # It is full of what came before, and as much comes as it can do.
    processing = replace(PROCESSING, maximum_concurrency=5)
    run = Simulation(processing).run(2000, lambda now: 50_100 if now == 0 else 100)
    steady = run.seconds[1000:]
    lengths = [second.waiting for second in steady]

    assert max(lengths) == pytest.approx(min(lengths))
    assert all(second.done == pytest.approx(100) for second in steady)
    # The wait of one that arrives now is that of all before it, of which a hundred are done a second.
    assert lengths[0] == pytest.approx(100 * 500)
    assert steady[-1].oldest_seconds == pytest.approx(500, abs=2)


def test_as_many_copies_work_as_the_rate_times_the_time_of_a_delivery() -> None:
    run = Simulation(PROCESSING).run(300, lambda _: 700)

    assert run.seconds[-1].concurrency == pytest.approx(700 * 0.5 / 10)


@pytest.mark.parametrize("copies", [6, 10, 30])
def test_a_burst_is_gone_when_it_should_be(copies: int) -> None:
    rate, burst, seconds = 100, 1000, 60
    capacity = copies * PROCESSING.rate_of_one
    processing = replace(PROCESSING, maximum_concurrency=copies, pollers_per_second=1000)
    run = Simulation(processing).run(4000, lambda now: burst if 10 <= now < 10 + seconds else rate)
    backlog = (burst - capacity) * seconds

    assert run.most_waiting == pytest.approx(backlog, rel=0.01)
    assert run.empty_again(10 + seconds, rate) == pytest.approx(backlog / (capacity - rate), rel=0.02, abs=3)


def test_an_outage_is_gone_when_it_should_be() -> None:
    processing = replace(PROCESSING, maximum_concurrency=10, visibility_seconds=5, maximum_receives=1000)
    run = Simulation(processing).run(4000, lambda _: 100, lambda now: 100 <= now < 700)

    assert run.most_waiting == pytest.approx(600 * 100, rel=0.01)
    assert run.empty_again(700, 100) == pytest.approx(600 * 100 / (10 * PROCESSING.rate_of_one - 100), rel=0.03)
    assert run.dead == run.expired == 0


def test_copies_grow_no_faster_than_the_pollers() -> None:
    run = Simulation(PROCESSING).run(120, lambda now: 100_000 if now == 10 else 10)
    copies = [second.concurrency for second in run.seconds]
    growth = [later - earlier for earlier, later in zip(copies, copies[1:], strict=False)]

    assert max(growth) == pytest.approx(5)
    assert max(copies) == PROCESSING.maximum_concurrency
    # From five to a hundred by five a second.
    assert copies.index(max(copies)) == pytest.approx(10 + 95 / 5, abs=1)


def test_a_second_does_no_more_than_its_copies_can() -> None:
    run = Simulation(PROCESSING).run(300, lambda now: 5000 if now < 60 else 0)

    assert all(second.done <= second.concurrency * PROCESSING.rate_of_one + 1e-6 for second in run.seconds)


def test_copies_fall_back_while_they_fail_and_have_to_grow_again() -> None:
    run = Simulation(PROCESSING).run(600, lambda _: 1000, lambda now: now in OUTAGE, running_before=True)
    copies = [second.concurrency for second in run.seconds]

    assert copies[99] == pytest.approx(50)
    assert copies[101] == copies[399] == 5
    assert copies[400] == pytest.approx(10)
    assert copies[410] == pytest.approx(60)


def test_a_function_grows_no_faster_than_lambda_lets_it() -> None:
    front = replace(FRONT, api_rate=1e9, function_burst=300, function_growth=30)
    run = Simulation(PROCESSING, front).run(100, lambda now: 1000 if now >= 10 else 100)
    taken = [second.accepted for second in run.seconds]

    assert taken[9] == 100
    assert taken[10] == 400
    assert taken[20] == pytest.approx(400 + 30 * 10)
    assert max(taken) == 1000
    assert taken.index(1000) == 30


def test_the_api_takes_its_rate_and_a_burst_once() -> None:
    run = Simulation(PROCESSING, FRONT).run(60, lambda now: 2000 if now >= 10 else 0)
    taken = [second.accepted for second in run.seconds]

    assert taken[10] == 1500
    assert taken[11:] == [1000] * 49


def test_invocations_of_the_processor_are_not_left_for_webhooks() -> None:
    front = replace(FRONT, api_rate=1e9, invocations=200)
    run = Simulation(PROCESSING, front).run(60, lambda _: 1000)

    # A delivery needs one and a tenth.
    assert run.seconds[-1].accepted == pytest.approx(200 / 1.1, rel=0.01)


def test_nothing_is_lost_before_it_is_older_than_the_retention() -> None:
    def lost(retention: int) -> float:
        processing = replace(PROCESSING, retention_seconds=retention, visibility_seconds=10, maximum_receives=1_000_000)
        return Simulation(processing).run(900, lambda _: 100, lambda now: now in OUTAGE).expired

    # With twice the rate, the oldest is as old as the outage was long.
    assert lost(320) == 0
    # What came in the first hundred seconds of it is too old at its end.
    assert lost(200) == pytest.approx(100 * 100, rel=0.02)


def test_a_delivery_is_given_up_after_its_last_receive() -> None:
    def dead(receives: int, seconds: int) -> float:
        processing = replace(PROCESSING, visibility_seconds=30, maximum_receives=receives)
        return Simulation(processing).run(1000, lambda _: 100, lambda now: 100 <= now < 100 + seconds).dead

    # The first has its last receive 60 seconds after its first, and would be done by the one after that.
    assert dead(3, 60) == 0
    # Those of the first 25 seconds fail a third time, and are not received again, whether or not they would be done.
    assert dead(3, 85) == pytest.approx(100 * 25)
    assert dead(4, 85) == 0


def test_no_more_is_in_flight_than_the_queue_allows() -> None:
    processing = replace(PROCESSING, maximum_in_flight=200, visibility_seconds=20, maximum_receives=3)
    run = Simulation(processing).run(400, lambda _: 100, lambda now: 100 <= now < 200)

    # Ten a second are received at most, so few of them too often.
    assert run.dead <= 200 * 100 / 20
    assert run.most_waiting == pytest.approx(100 * 100, rel=0.15)


def test_a_table_doubles_while_more_is_asked_of_it() -> None:
    processing = replace(PROCESSING, table_rate=50, maximum_table_rate=150, table_doubling_seconds=100)
    run = Simulation(processing).run(400, lambda _: 1000)
    done = [second.done for second in run.seconds]

    assert [done[50], done[150], done[250], done[399]] == [50, 100, 150, 150]


def test_a_bucket_fills_no_further_than_its_size() -> None:
    bucket = Bucket(10, 3)
    assert [bucket.take(8), bucket.take(8)] == [8, 2]
    for _ in range(100):
        bucket.next_second()
    assert bucket.take(100) == 10


def test_a_ramp_shrinks_at_once_but_not_below_where_it_begins() -> None:
    ramp = Ramp(5, 50, Bucket(10, 10))
    assert [ramp.next_second(wanted) for wanted in [100, 100, 0, 12, 100, 100]] == [15, 25, 5, 12, 22, 32]
