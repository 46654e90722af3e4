"""The rules by which `make bench` computes, and one round of it with the tests' binaries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from functions import Job, Scenario, in_turn, section
from quota import quota_microseconds
from runtime_api import Failed, Program, Run, is_success, measure, processor_nanoseconds, take_chunks
from stack.rabbitmq import make_certificates
from stand_in import SECRET, StandIn, answer
from table import Row, Section, lines, markdown, median, noise, number, text
from write_units import counted, rows

# Answers every request of Lambda's Runtime API with what the second argument says; the first is how much it computes for each.
FUNCTION = """
import http.client, json, os, sys
work, answer = int(sys.argv[1]), sys.argv[2]
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    response = connection.getresponse()
    event = json.loads(response.read())
    assert event == {"what": "an event"}
    sum(range(work))
    connection.request("POST", f"/2018-06-01/runtime/invocation/{response.headers['Lambda-Runtime-Aws-Request-Id']}/response", answer)
    connection.getresponse().read()
"""
EVENT = b'{"what": "an event"}'
ACCEPTED = '{"statusCode": 200}'


def function(work: int = 0, answer: str = ACCEPTED) -> Program:
    return Program("a function", [sys.executable, "-c", FUNCTION, str(work), answer])


def run(ready: float, first: float, cpu: float | None = None) -> Run:
    return Run(ready_ms=ready, first_ms=first, warm_ms=None if cpu is None else 1.0, warm_cpu_us=cpu, peak_mb=8.0)


def test_the_median_leaves_out_what_was_not_measured() -> None:
    assert median([3.0, None, 1.0, 2.0]) == 2.0
    assert median([None]) is None


def test_noise_is_how_far_two_runs_of_the_same_program_are_apart() -> None:
    assert noise([100.0, 200.0, 10.0], [110.0, 190.0, 10.0]) == pytest.approx(0.05)
    assert noise([None], [None]) is None


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, ""), (0.731, "0.73"), (5.678, "5.68"), (12.34, "12.3"), (160.4, "160"), (12500.0, "12,500"), (4, "4")],
)
def test_a_number_has_three_digits(value: float | None, written: str) -> None:
    assert number(value) == written


def test_what_only_we_have_is_in_our_column() -> None:
    sections = [Section("s", [Row("both", "ms", [1.5, 2.5], 0.031), Row("ours", "1/s", [7])])]
    assert lines(["we", "they"], sections) == [
        ["", "unit", "we", "they", "noise"],
        ["s", "", "", "", ""],
        ["  both", "ms", "1.50", "2.50", "3%"],
        ["  ours", "1/s", "7", "", ""],
    ]


def test_the_table_is_written_for_a_terminal_and_for_a_page() -> None:
    sections = [Section("a title that is longer than all", [Row("ready", "ms", [5.5])])]
    assert text(["we"], sections) == "         unit    we  noise\na title that is longer than all\n  ready  ms    5.50"
    assert markdown(["we"], sections) == (
        "|  | unit | we | noise |\n| --- | --- | --: | --: |\n| **a title that is longer than all** |  |  |  |\n| ready | ms | 5.50 |  |\n"
    )


def test_every_other_round_goes_the_other_way() -> None:
    programs = [Program(name, []) for name in "abc"]
    assert in_turn(programs, 0) == programs
    assert in_turn(programs, 1) == programs[::-1]


def test_a_cold_start_is_the_median_of_sums_and_what_was_not_measured_has_no_row() -> None:
    runs = {
        "webhook-intake": [run(5, 2), run(7, 1), run(30, 9)],
        "bare": [run(4, 1), run(5, 1), run(6, 1)],
        "bare again": [run(4, 1), run(5, 1), run(6, 1)],
    }
    found = section(Job("job", b"", "an answer", 0, 0, []), Scenario("far", lambda _: ""), runs, ["webhook-intake", "bare"])
    assert found.title == "job, far"
    assert [(row.figure, *row.cells) for row in found.rows] == [
        ("ready", 7, 5),
        ("first answer", 2, 1),
        ("ready and first answer", 8, 6),
        ("peak memory", 8, 8),
    ]


def test_an_answer_that_accepts_nothing_is_not_measured() -> None:
    assert is_success(b'{"statusCode":200,"headers":{}}') and is_success(b'{"batchItemFailures": []}') and is_success(b"{}")
    assert not is_success(b'{"statusCode":503}') and not is_success(b'{"batchItemFailures":[{"itemIdentifier":"m"}]}')


def test_a_chunked_body_is_taken_once_it_is_whole() -> None:
    whole = b"4\r\nbody\r\n2\r\n!!\r\n0\r\n\r\n"
    assert take_chunks(whole + b"GET") == (b"body!!", b"GET")
    for length in range(len(whole)):
        assert take_chunks(whole[:length]) is None, length


def test_a_share_of_a_processor_is_a_part_of_each_period() -> None:
    assert quota_microseconds(0.145) == 2_900


def test_the_stand_in_has_the_secret_and_takes_everything_else() -> None:
    secret = json.loads(json.loads(answer(b"secretsmanager.GetSecretValue"))["SecretString"])
    assert secret["keys"][0]["secret"] == SECRET
    assert json.loads(answer(b"AmazonSQS.SendMessage"))["MessageId"]
    assert answer(b"DynamoDB_20120810.PutItem") == b"{}"


def test_write_units_are_those_that_the_tests_count() -> None:
    found = rows({"delivery-x": {"event_write_units": 3, "write_units": 4, "index_write_units": 2}, "assumptions": {}})
    assert [(row.figure, *row.cells) for row in found] == [("x, its event", 3), ("x, with the record", 6)]
    assert {"machnet, its event", "sterling, its event"} <= {row.figure for row in counted()}


def test_a_process_is_measured_from_its_start_to_its_last_answer(tmp_path: Path) -> None:
    idle, busy = (measure(function(work), EVENT, 20, tmp_path / "log") for work in (0, 300_000))
    assert 5 < idle.ready_ms < 60_000 and idle.peak_mb > 3
    assert busy.warm_cpu_us > 3 * idle.warm_cpu_us > 0


def test_a_process_that_is_never_warm_has_no_warm_figures(tmp_path: Path) -> None:
    found = measure(function(), EVENT, 0, tmp_path / "log")
    assert (found.warm_ms, found.warm_cpu_us) == (None, None) and found.first_ms > 0


def test_a_share_of_a_processor_is_all_that_a_process_gets(tmp_path: Path) -> None:
    # Some 0.1 s of computing or more take ten times as long, however busy the machine is.
    found = measure(function(10_000_000), EVENT, 1, tmp_path / "log", share=0.1)
    assert found.warm_cpu_us / 1000 < 0.2 * found.warm_ms


def test_a_refused_request_is_an_error_that_names_the_program(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="a function: response: .*503"):
        measure(function(answer='{"statusCode": 503}'), EVENT, 0, tmp_path / "log")


def test_a_process_that_ends_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="a program: no answer.*the last words"):
        measure(Program("a program", ["sh", "-c", "echo the last words >&2"]), EVENT, 0, tmp_path / "log")


def test_processor_time_is_that_of_all_threads() -> None:
    threads = "import threading\nwork = lambda: sum(range(20_000_000))\nthread = threading.Thread(target=work); thread.start(); thread.join(); print(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", threads], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert processor_nanoseconds(process.pid) > 20_000_000
        process.kill()


def test_a_connection_at_a_distance_takes_its_round_trips(tmp_path: Path) -> None:
    roots = make_certificates(tmp_path)
    stand_in = StandIn(tmp_path, 0.1)
    script = (
        "import ssl, sys, time, urllib.request\n"
        "started = time.monotonic()\n"
        "context = ssl.create_default_context(cafile=sys.argv[2]) if sys.argv[1].startswith('https') else None\n"
        "urllib.request.urlopen(sys.argv[1], b'{}', context=context).read()\n"
        "print(time.monotonic() - started)\n"
    )
    try:
        near, far = (
            float(subprocess.run([sys.executable, "-c", script, url, str(roots)], check=True, capture_output=True).stdout)
            for url in (stand_in.secure, stand_in.far)
        )
    finally:
        stand_in.close()
    # One for the connection, one for TLS 1.3, one for the request.
    assert far >= 0.3 and far > near
