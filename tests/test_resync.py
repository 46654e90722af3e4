"""The resync: NurtureCloud resends its entities, and they correct ours."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import operator_commands
import pytest
from confidential import CLIENT_SECRET
from notifications import Entity, agent, notification
from nurturecloud_api import BUSINESSES, COMPONENTS, Asked, NurtureCloudApi
from secrecy import search
from senders import Sender, new_id
from stack.stack import FunctionError, Item, Line, Stack
from stack.wait import wait_until

FUNCTION = "nurturecloud-resync"
PAIRS = [(business, component) for business in BUSINESSES for component in COMPONENTS]
LOOKBACK_DAYS = 7
KEY = {"pk": {"S": "resync#nurturecloud"}, "sk": {"S": "resume-point"}}

# What EventBridge Scheduler sends where a schedule names no input.
SCHEDULED = {
    "version": "0",
    "id": "27b7f7d5-28ae-4f0c-a0e8-2bf6a42c7a4c",
    "detail-type": "Scheduled Event",
    "source": "aws.scheduler",
    "account": "123456789012",
    "time": "2026-11-21T09:30:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/NurtureCloudResyncFunctionSchedule"],
    "detail": "{}",
}

Changes = dict[str, tuple[str, str]]


class Resync:
    """The deployed function, and the NurtureCloud that it asks."""

    def __init__(self, stack: Stack, api: NurtureCloudApi) -> None:
        self.stack = stack
        self.api = api

    def run(self, payload: Any = SCHEDULED) -> Any:
        """The summary of a run that does not fail the invocation."""
        return self.stack.invoke(FUNCTION, payload)

    def fail(self, payload: Any = SCHEDULED) -> str:
        """The message of a run that fails the invocation."""
        with pytest.raises(FunctionError) as failed:
            self.run(payload)
        assert failed.value.type == "ResyncFailed"
        return str(failed.value)

    def resume_point(self) -> Any:
        """The progress as it is kept, if there is any."""
        answer = self.stack.client("dynamodb").get_item(
            TableName=self.stack.outputs["EntitiesTableName"], Key=KEY, ConsistentRead=True
        )
        return json.loads(answer["Item"]["document"]["S"]) if "Item" in answer else None

    def owed(self) -> dict[tuple[str, str], str]:
        """Since when the next run asks for each pair."""
        pairs = self.resume_point()["pairs"]
        return {(pair["business_id"], pair["component"]): pair["since"] for pair in pairs}

    def changes(self) -> Changes:
        """What became of each entity that was sent since the last time: its event's outcome, and the change."""
        found: Changes = {}
        for delivery_id in self.api.sent():
            self.stack.wait_for_record(delivery_id)
            for event in self.stack.events(delivery_id=delivery_id):
                assert event["entity"]["state"] == "current"
                found[event["entity"]["id"]] = (event["outcome"], event["entity"]["change"])
        return found

    def put_credentials(self, **changes: str) -> None:
        self.stack.put_secret("NurtureCloudResyncSecretArn", self.api.credentials | changes)

    def counted(self, name: str) -> int:
        return self.stack.counters(FUNCTION).get((name, ()), 0)

    def lines(self, message: str) -> list[Line]:
        return self.stack.lines(FUNCTION, message)


@pytest.fixture
def resync(stack: Stack, nurturecloud: Sender, nurturecloud_api: NurtureCloudApi) -> Iterator[Resync]:
    """As on a new stack with the right credentials: nothing was asked so far. What NurtureCloud sends comes to the stack."""

    def webhook(body: bytes) -> str:
        answer = stack.post("nurturecloud", body, nurturecloud.signer.headers(body), nurturecloud.signer.path)
        assert answer.status == 200, answer
        delivery_id: str = json.loads(answer.body)["delivery_id"]
        return delivery_id

    stack.client("dynamodb").delete_item(TableName=stack.outputs["EntitiesTableName"], Key=KEY)
    nurturecloud_api.forget()
    nurturecloud_api.webhook = webhook
    resync = Resync(stack, nurturecloud_api)
    resync.put_credentials()
    yield resync
    # What is still on its way would disturb the other tests.
    resync.changes()


def entity(pair: tuple[str, str], name: str, entity_id: str | None = None) -> Entity:
    return agent(entity_id or new_id(), businessId=pair[0], name=name)


def the_entity(stack: Stack, entity: Entity) -> Item:
    [found] = stack.entities(id=entity["id"])
    return found


def is_right(stack: Stack, entity: Entity) -> bool:
    found = the_entity(stack, entity)
    return not found["deleted"] and json.loads(found["content"]["data"]) == entity


def pairs(asked: list[Asked]) -> list[tuple[str, str]]:
    return [(each.business_id, each.component) for each in asked]


def asked_since(asked: list[Asked]) -> dict[tuple[str, str], str]:
    assert all(each.what.startswith("since=") for each in asked)
    return {(each.business_id, each.component): each.what.removeprefix("since=") for each in asked}


def day(moment: str, before: int) -> str:
    """The day `before` days before a moment."""
    return (date.fromisoformat(moment[:10]) - timedelta(days=before)).isoformat()


# What comes back


def test_a_scheduled_run_corrects_missed_entities_and_leaves_the_others(
    stack: Stack, nurturecloud: Sender, resync: Resync
) -> None:
    pair = business, component = PAIRS[0]
    right, stale, gone, missed = (entity(pair, "A") for _ in range(4))
    elsewhere = {other: entity(other, "A") for other in PAIRS[1:]}
    known = [right, entity(pair, "older", stale["id"]), gone]
    nurturecloud.deliver_batch(notification("Created", *known, component=component))
    nurturecloud.deliver(notification("Deleted", agent(gone["id"], businessId=business), component=component))
    resync.api.hold(component, right, stale, gone, missed)
    for (_, other), held in elsewhere.items():
        resync.api.hold(other, held)
    before = len(stack.events())

    summary = resync.run()

    asked = resync.api.asked()
    assert pairs(asked) == PAIRS
    assert set(asked_since(asked).values()) == {day(summary["began_at"], before=LOOKBACK_DAYS)}
    assert summary == {
        "outcome": "complete",
        "began_at": summary["began_at"],
        "last_complete_run_began_at": summary["began_at"],
        "accepted": 4,
        "not_accepted": 0,
        "not_asked": 0,
        "not_accepted_calls": [],
        "not_asked_calls": [],
    }
    changes = resync.changes()
    assert changes == {
        right["id"]: ("duplicate", "unchanged"),
        stale["id"]: ("stored", "changed"),
        gone["id"]: ("stored", "revived"),
        missed["id"]: ("stored", "created"),
    } | {held["id"]: ("stored", "created") for held in elsewhere.values()}
    assert len(stack.events()) == before + len(changes)
    assert all(is_right(stack, each) for each in [right, stale, gone, missed, *elsewhere.values()])
    assert {each["component"] for each in stack.entities(business_id=BUSINESSES[1])} >= set(COMPONENTS)


def test_the_next_run_asks_from_the_day_before_the_last_one_and_finds_nothing_to_do(
    stack: Stack, resync: Resync
) -> None:
    held = [entity(PAIRS[0], "A") for _ in range(3)]
    resync.api.hold(PAIRS[0][1], *held)
    first = resync.run()
    assert set(resync.changes().values()) == {("stored", "created")}
    resync.api.asked()

    resync.run({})

    assert asked_since(resync.api.asked()) == dict.fromkeys(PAIRS, day(first["began_at"], before=1))
    assert resync.changes() == {each["id"]: ("duplicate", "unchanged") for each in held}
    assert all(is_right(stack, each) for each in held)


def test_a_manual_run_starts_at_its_date(stack: Stack, resync: Resync) -> None:
    old, older = entity(PAIRS[0], "old"), entity(PAIRS[0], "older")
    resync.api.hold(PAIRS[0][1], old, changed="2026-01-01")
    resync.api.hold(PAIRS[0][1], older, changed="2025-12-31")
    resync.run()
    assert resync.changes() == {}
    resync.api.asked()

    summary = resync.run({"since": "2026-01-01"})

    assert asked_since(resync.api.asked()) == dict.fromkeys(PAIRS, "2026-01-01")
    assert resync.changes() == {old["id"]: ("stored", "created")}
    assert stack.entities(id=older["id"]) == []
    assert resync.owed() == dict.fromkeys(PAIRS, day(summary["began_at"], before=1))


def test_single_entities_can_be_requested_without_moving_the_resume_point(stack: Stack, resync: Resync) -> None:
    resync.run()
    resync.api.asked()
    before = resync.resume_point()
    pair = business, component = PAIRS[3]
    wanted, neighbour, unknown = entity(pair, "A"), entity(pair, "B"), new_id()
    resync.api.hold(component, wanted, neighbour, changed="2020-01-01")

    # In the plural, as subscriptions spell it.
    summary = resync.run({"business_id": business, "component": f"{component}s", "ids": [wanted["id"], unknown]})

    asked = resync.api.asked()
    assert pairs(asked) == [pair, pair]
    assert [each.what for each in asked] == [f"id={wanted['id']}", f"id={unknown}"]
    assert (summary["outcome"], summary["accepted"], summary["began_at"]) == ("complete", 2, None)
    assert resync.changes() == {wanted["id"]: ("stored", "created")}
    assert is_right(stack, wanted)
    assert stack.entities(id=neighbour["id"]) == []
    assert resync.resume_point() == before


def test_a_manual_request_with_a_mistake_makes_no_call(resync: Resync) -> None:
    message = resync.fail({"since": "2026-01-01", "until": "2026-02-01"})

    assert message.startswith("the payload is neither")
    assert (resync.api.asked(), resync.resume_point()) == ([], None)


# What is not accepted


def test_a_refused_pair_is_reported_and_asked_again_from_the_same_day_while_the_others_go_on(
    stack: Stack, resync: Resync
) -> None:
    refused = business, component = PAIRS[1]
    held = entity(refused, "A")
    resync.api.hold(component, held, changed=day(datetime.now(UTC).isoformat(), before=3))
    failed, completed = resync.counted("resync_failed"), resync.counted("resync_completed")

    with resync.api.rejecting(404, business, component):
        first = resync.run()

    assert (first["outcome"], first["accepted"], first["not_accepted"]) == ("incomplete", 3, 1)
    owed = day(first["began_at"], before=LOOKBACK_DAYS)
    assert first["not_accepted_calls"] == [
        {
            "business_id": business,
            "component": component,
            "asked": f"since={owed}",
            "status": 404,
            "reason": "refused",
        }
    ]
    assert first["last_complete_run_began_at"] is None
    assert pairs(resync.api.asked()) == PAIRS
    assert resync.changes() == {}
    assert resync.owed() == dict.fromkeys(PAIRS, day(first["began_at"], before=1)) | {refused: owed}
    # This is what the alarm watches.
    wait_until(lambda: resync.counted("resync_failed") == failed + 1, what="the counter of failed runs")
    line = resync.lines("resync call")[-3]
    assert (line["component"], line["outcome"], line["status"]) == (component, "not_accepted", 404)
    assert line["business_id"] == business

    second = resync.run()

    expected = dict.fromkeys(PAIRS, day(first["began_at"], before=1)) | {refused: owed}
    assert asked_since(resync.api.asked()) == expected
    assert (second["outcome"], second["last_complete_run_began_at"]) == ("complete", second["began_at"])
    assert resync.changes() == {held["id"]: ("stored", "created")}
    assert resync.owed() == dict.fromkeys(PAIRS, day(second["began_at"], before=1))
    wait_until(lambda: resync.counted("resync_completed") == completed + 1, what="the counter of complete runs")
    assert resync.counted("resync_failed") == failed + 1


def test_a_run_without_an_accepted_call_fails_the_invocation(resync: Resync) -> None:
    with resync.api.rejecting(404):
        message = resync.fail()

    assert message == "some calls were not accepted (0 accepted, 4 not accepted, 0 not asked)"
    assert pairs(resync.api.asked()) == PAIRS
    assert resync.resume_point()["last_complete_run_began_at"] is None


def test_a_call_that_is_throttled_or_fails_on_their_side_is_retried(resync: Resync) -> None:
    throttled, failing = PAIRS[0], PAIRS[2]

    with (
        resync.api.rejecting(429, *throttled, retry_after="1", times=1),
        resync.api.rejecting(500, *failing, times=1),
    ):
        summary = resync.run()

    asked = resync.api.asked()
    assert summary["outcome"] == "complete"
    assert [each.status for each in asked] == [429, 202, 202, 500, 202, 202]
    assert pairs(asked) == [PAIRS[0], PAIRS[0], PAIRS[1], PAIRS[2], PAIRS[2], PAIRS[3]]
    assert asked[1].at - asked[0].at >= 1
    assert asked[4].at - asked[3].at >= 2


def test_a_run_that_must_wait_too_long_ends_and_the_next_one_continues(resync: Resync) -> None:
    with resync.api.rejecting(429, *PAIRS[2], retry_after="3600"):
        first = resync.run()
    assert (first["outcome"], first["accepted"], first["not_asked"]) == ("told-to-wait", 2, 2)
    assert pairs(resync.api.asked()) == PAIRS[:3]

    second = resync.run()

    assert second["began_at"] == first["began_at"]
    assert second["last_complete_run_began_at"] == first["began_at"]
    # Pairs that failed are tried last.
    assert asked_since(resync.api.asked()) == dict.fromkeys(
        [PAIRS[3], PAIRS[2]], day(first["began_at"], before=LOOKBACK_DAYS)
    )


def test_wrong_credentials_end_the_run_and_correct_ones_need_no_deployment(resync: Resync) -> None:
    refused = resync.counted("resync_refused")
    resync.put_credentials(client_secret="another secret")

    message = resync.fail()

    assert message.startswith("nurturecloud refused the credentials; correct client id and secret")
    assert "(0 accepted, 0 not accepted, 4 not asked)" in message
    asked = resync.api.asked()
    assert [(each.status, each.business_id, each.component) for each in asked] == [(401, *PAIRS[0])]
    assert resync.lines("resync call")[-1]["reason"] == "credentials-wrong"
    wait_until(lambda: resync.counted("resync_refused") == refused + 1, what="the counter")
    began_at = resync.resume_point()["run"]["began_at"]

    resync.put_credentials()
    summary = resync.run()

    assert (summary["outcome"], summary["began_at"]) == ("complete", began_at)
    assert sorted(pairs(resync.api.asked())) == sorted(PAIRS)


def test_a_placeholder_secret_is_reported(stack: Stack, resync: Resync) -> None:
    initial = stack.template["Resources"]["NurtureCloudResyncSecret"]["Properties"]["SecretString"]
    resync.put_credentials(**json.loads(initial))

    message = resync.fail()

    assert message.startswith("the credentials cannot be used: client_id is missing; client_secret is missing")
    assert (resync.api.asked(), resync.resume_point()) == ([], None)


# The resume point


def test_the_resume_point_is_an_item_of_the_entities_table_but_not_an_entity(stack: Stack, resync: Resync) -> None:
    summary = resync.run()

    [item] = stack.entities(pk="resync#nurturecloud")
    assert item.keys() == {"pk", "sk", "document"}
    document = json.loads(item["document"])
    assert document == {
        "version": 1,
        "service": resync.api.base_url.removeprefix("http://").removesuffix("/v1"),
        "claim": document["claim"],
        "run": None,
        "last_complete_run_began_at": summary["began_at"],
        "pairs": [
            {
                "business_id": business,
                "component": component,
                "since": day(summary["began_at"], before=1),
                "state": "waiting",
            }
            for business, component in PAIRS
        ],
    }


def test_of_two_concurrent_runs_the_later_one_continues(resync: Resync) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool, resync.api.rejecting(429, retry_after="3", times=1):
        earlier = pool.submit(resync.run)
        wait_until(lambda: resync.resume_point() is not None, interval=0.01, what="the claim of the earlier run")
        claim = resync.resume_point()["claim"]
        later = resync.run()
        ended = earlier.result()

    assert resync.resume_point()["claim"] != claim
    assert (ended["outcome"], later["outcome"]) == ("taken-over", "complete")
    assert later["began_at"] == ended["began_at"], "the run was gone on with"
    assert resync.resume_point()["last_complete_run_began_at"] == later["began_at"]


def test_saved_progress_whose_answer_was_lost_is_recognised_as_our_own(stack: Stack, resync: Resync) -> None:
    with stack.proxy.fault("DynamoDB.PutItem", "lose-answer", times=1):
        summary = resync.run()

    assert summary["outcome"] == "complete"
    assert pairs(resync.api.asked()) == PAIRS


def test_no_call_is_made_if_the_progress_cannot_be_saved(stack: Stack, resync: Resync) -> None:
    with stack.without_permission("NurtureCloudResyncRole", ["dynamodb:GetItem", "dynamodb:PutItem"]):
        message = resync.fail()

    assert "dynamodb GetItem" in message
    assert resync.api.asked() == []
    assert resync.run()["outcome"] == "complete"


# Secrets


def test_the_credentials_are_in_no_line_whatever_the_outcome_of_a_run(stack: Stack, resync: Resync) -> None:
    client_secret = resync.api.client_secret
    with stack.settings(FUNCTION, LOG_LEVEL="debug"):
        resync.run()
        resync.run({"business_id": BUSINESSES[0], "component": COMPONENTS[0], "ids": [new_id()]})
        with resync.api.rejecting(404):
            resync.fail()
        with resync.api.rejecting(403):
            resync.fail()
        # Misplaced: as the whole text, and as a name.
        for text in [client_secret, json.dumps({client_secret: resync.api.client_id})]:
            secret = stack.outputs["NurtureCloudResyncSecretArn"]
            stack.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=text)
            assert resync.fail().startswith("the secret is not JSON of the form")

    # Everything else is searched at the end of the run.
    report = search(list(stack.folder.rglob(f"{FUNCTION}.*.log")), {client_secret: CLIENT_SECRET})
    assert report.found == []
    assert report.lines > 0


def test_credentials_in_the_base_url_are_refused_and_not_repeated(stack: Stack, resync: Resync) -> None:
    password = secrets.token_urlsafe(32)

    with stack.settings(FUNCTION, NURTURECLOUD_BASE_URL=f"https://me:{password}@localhost/v1"):
        message = resync.fail()

    assert "NURTURECLOUD_BASE_URL cannot be used: the base url holds credentials" in message
    assert password not in message + stack.output(FUNCTION)
    assert resync.api.asked() == []


# The command


def test_the_command_asks_as_the_function_does(stack: Stack, resync: Resync, tmp_path: Path) -> None:
    secret_file = tmp_path / "client-secret"
    secret_file.write_text(f"{resync.api.client_secret}\n")
    held = {pair: entity(pair, "A") for pair in PAIRS}
    for (_, component), each in held.items():
        resync.api.hold(component, each)

    def command(*arguments: str) -> tuple[int, str]:
        done = operator_commands.run(
            stack,
            *("--data-directory", str(tmp_path / "data"), "resync", "--base-url", resync.api.base_url),
            *("--client-id", resync.api.client_id, "--client-secret-file", str(secret_file)),
            *("--business", ",".join(BUSINESSES), "--component", ",".join(COMPONENTS)),
            *("--calls-per-minute", "6000", *arguments),
        )
        assert resync.api.client_secret not in done.stdout + done.stderr
        return done.returncode, done.stdout

    with resync.api.rejecting(404, *PAIRS[0]):
        code, output = command("--since", "2026-01-01")
    assert code == 1
    assert f"{PAIRS[0][0]} {PAIRS[0][1]} since=2026-01-01: 404 not accepted (refused)" in output
    assert "3 accepted, 1 not accepted, 0 not asked" in output
    assert asked_since(resync.api.asked()) == dict.fromkeys(PAIRS, "2026-01-01")
    assert resync.changes() == {held[pair]["id"]: ("stored", "created") for pair in PAIRS[1:]}

    code, output = command()
    assert code == 0
    assert "4 accepted, 0 not accepted, 0 not asked: every call was accepted." in output
    since = asked_since(resync.api.asked())
    assert since.pop(PAIRS[0]) == "2026-01-01"
    assert since.keys() == set(PAIRS[1:])
    assert "2026-01-01" not in since.values()
    assert resync.changes() == {
        held[pair]["id"]: (("stored", "created") if pair == PAIRS[0] else ("duplicate", "unchanged"))
        for pair in PAIRS
    }
    assert all(is_right(stack, each) for each in held.values())
    assert resync.resume_point() is None, "the command keeps its progress in the data directory"
