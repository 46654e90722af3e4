"""The stories of NurtureCloud: a secret in the URL, notifications, and the entities that they report."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from accounting import Accounting
from notifications import BUSINESS, ORGANISATION, Observation, agent, as_in_the_model, model, notification
from senders import Sender, Sent, message_body, new_id, outcomes
from signers import PathSecret
from stack.stack import Item, Stack
from stack.wait import wait_until

SEND_MESSAGE = "AmazonSQS.SendMessage"
# An unknown secret is looked up once the cached document is this old.
MAX_WAIT_SECONDS = 15
KIB, MIB = 1024, 1024 * 1024


def items_of(stack: Stack, sent: Sent) -> list[Item]:
    """The items that a delivery left, in the order of its entities."""
    return sorted(stack.items(delivery_id=sent.delivery_id), key=lambda item: int(item["index"]))


def the_entity(stack: Stack, entity_id: str) -> Item:
    [entity] = stack.entities(id=entity_id)
    return entity


def name_of(entity: Item) -> str:
    return json.loads(entity["content"]["data"])["name"]


# The secret in the URL


def test_a_delivery_to_the_right_url_is_stored_with_its_entity(stack: Stack, nurturecloud: Sender) -> None:
    entity_id = new_id()
    ada = agent(entity_id, firstName="Ada", correlationId={"source": "crm", "value": 4711})

    sent, outcome = nurturecloud.deliver(notification("Created", ada, as_object=True))

    assert outcome == "stored"
    [item] = items_of(stack, sent)
    assert item["kind"] == "event"
    assert item["id"] == f"{sent.delivery_id}.0"
    assert item["source"] == "/webhooks/nurturecloud/main"
    assert item["type"] == "nurturecloud.agent.Created"
    assert item["subject"] == f"agent/{entity_id}"
    assert item["data"] == json.dumps(ada)
    assert item["attributes"] == {"correlation_source": "crm", "correlation_value": "4711"}
    assert item["entity"] == {
        "component": "agent",
        "account": "main",
        "organisation": ORGANISATION,
        "business_id": BUSINESS,
        "id": entity_id,
        "state": "created",
        "change": "created",
        "version": 1,
    }
    entity = the_entity(stack, entity_id)
    assert entity["pk"] == item["pk"]
    assert as_in_the_model(entity) == {
        "version": 1,
        "deleted": False,
        "content": [((item["received_at"], sent.delivery_id, 0), ada)],
        "life": [((item["received_at"], sent.delivery_id, 0), "Created")],
        "merged_into": None,
    }


def wrong_paths() -> list[Any]:
    secret = PathSecret().secret
    return [
        pytest.param(secret, "path-secret-mismatch", id="another secret"),
        pytest.param("a" * 128, "path-secret-mismatch", id="the maximum length"),
        pytest.param(secret[:42], "path-secret-malformed", id="too short"),
        pytest.param("a" * 129, "path-secret-malformed", id="too long"),
        pytest.param(f"{secret}.", "path-secret-malformed", id="other characters"),
        pytest.param("<secret>", "path-secret-malformed", id="the place holder"),
    ]


@pytest.mark.parametrize(("secret", "reason"), wrong_paths())
def test_a_wrong_url_is_answered_401_and_nothing_is_queued(
    stack: Stack, nurturecloud: Sender, secret: str, reason: str
) -> None:
    nurturecloud.send(notification("Created", agent(new_id())))
    sends = stack.proxy.count(SEND_MESSAGE)

    sent = nurturecloud.send(notification("Created", agent(new_id())), signer=PathSecret(secret=secret))

    assert sent.answer.status == 401
    assert sent.line["reason"] == reason
    assert sent.answer.problem()["type"].endswith(f":{reason}")
    assert "www-authenticate" not in sent.answer.headers
    assert stack.proxy.count(SEND_MESSAGE) == sends
    assert secret not in json.dumps(sent.line) + sent.answer.body.decode() + json.dumps(sent.answer.headers)


def test_the_secret_is_accepted_only_at_the_end_of_the_path(stack: Stack, nurturecloud: Sender) -> None:
    secret = nurturecloud.signer.secret

    sent = nurturecloud.post(b"{}", {"X-Secret": secret}, f"/webhooks/nurturecloud/{'a' * 43}?secret={secret}")

    assert (sent.answer.status, sent.line["reason"]) == (401, "path-secret-mismatch")


def test_paths_around_the_secret_and_other_methods_reach_no_function(stack: Stack, nurturecloud: Sender) -> None:
    path = nurturecloud.signer.path
    before = len(stack.deliveries("nurturecloud"))

    for other in ["/webhooks/nurturecloud", "/webhooks/nurturecloud/", f"{path}/", f"{path}/x", f"/x{path}"]:
        assert stack.request("POST", other, b"{}", {}).status == 404
    for method in ["GET", "PUT"]:
        assert stack.request(method, path, b"{}", {}).status == 404

    assert len(stack.deliveries("nurturecloud")) == before


def test_a_body_above_the_limit_is_answered_413(nurturecloud: Sender) -> None:
    sent = nurturecloud.send(b"x" * (4 * MIB + 1))

    assert (sent.answer.status, sent.line["reason"]) == (413, "body-too-large")


def test_an_unset_secret_is_answered_503_and_counted(
    stack: Stack, nurturecloud: Sender, other_path_secrets: None
) -> None:
    faults = ("faults", (("provider", "nurturecloud"),))
    counted = stack.counters("nurturecloud").get(faults, 0)
    stack.put_keys("nurturecloud")

    sent = nurturecloud.send(notification("Created", agent(new_id())))

    assert (sent.answer.status, sent.line["reason"]) == (503, "no-active-key")
    assert sent.answer.problem()["type"].endswith(":send-again")
    wait_until(lambda: stack.counters("nurturecloud").get(faults, 0) == counted + 1, what="the counter")


def test_several_secrets_are_active_at_once_and_change_without_a_deployment(
    stack: Stack, nurturecloud: Sender, other_path_secrets: None
) -> None:
    old, stays, new = nurturecloud.signer, PathSecret("second-account"), PathSecret()
    body = notification("Updated", agent(new_id()))
    stack.put_keys("nurturecloud", old.key(), stays.key())
    taken_before = [nurturecloud.deliver(body, signer=secret)[0] for secret in [old, stays]]
    read = time.monotonic()
    sources = [item["source"] for sent in taken_before for item in items_of(stack, sent)]
    assert sources == ["/webhooks/nurturecloud/main", "/webhooks/nurturecloud/second-account"]

    stack.put_keys("nurturecloud", stays.key(), new.key())

    def taken() -> Sent | None:
        sent = nurturecloud.send(body, signer=new)
        assert sent.answer.status in {200, 401}
        return sent if sent.answer.status == 200 else None

    renewed = wait_until(taken, timeout=MAX_WAIT_SECONDS + 3, interval=0.5, what="the new secret's use")

    print(f"\nthe new secret counts {time.monotonic() - read:.1f} s after the last reading")
    assert renewed.line["account"] == "main"
    assert len({each.line["key_fingerprint"] for each in [renewed, *taken_before]}) == 3
    statuses = [nurturecloud.send(body, signer=secret).answer.status for secret in [old, stays, new]]
    assert statuses == [401, 200, 200]


# Notifications


def test_each_entity_of_an_array_is_an_event_of_its_own(stack: Stack, nurturecloud: Sender) -> None:
    ids = [new_id() for _ in range(3)]
    # White space, order and escapes that no serialiser would reproduce.
    raw = f'{{ "id":"{ids[1]}", "businessId" : "{BUSINESS}", "organisationName":"{ORGANISATION}", "name":"\\u0042" }}'
    body = notification("Updated", agent(ids[0], name="A"), "RAW", agent(ids[2], name="C"))

    sent, found = nurturecloud.deliver_batch(body.replace(b'"RAW"', raw.encode()))

    assert found == ["stored"] * 3
    items = items_of(stack, sent)
    assert [item["id"] for item in items] == [f"{sent.delivery_id}.{index}" for index in range(3)]
    assert [item["subject"] for item in items] == [f"agent/{each}" for each in ids]
    assert items[1]["data"] == raw
    assert [name_of(the_entity(stack, each)) for each in ids] == ["A", "B", "C"]


@pytest.mark.parametrize("component", ["contact", "contacts", "Contacts"])
def test_singular_and_plural_are_one_component(stack: Stack, nurturecloud: Sender, component: str) -> None:
    entity_id = new_id()
    nurturecloud.deliver(notification("Created", agent(entity_id, name="A"), component="contact"))

    sent, _ = nurturecloud.deliver(notification("Updated", agent(entity_id, name="B"), component=component))

    [item] = items_of(stack, sent)
    assert item["type"] == "nurturecloud.contact.Updated"
    assert item["entity"]["component"] == "contact"
    written = {} if component == "contact" else {"domain_component_name": component}
    assert item.get("attributes", {}) == written
    assert (the_entity(stack, entity_id)["version"], name_of(the_entity(stack, entity_id))) == (2, "B")


def test_the_same_id_elsewhere_is_another_entity(stack: Stack, nurturecloud: Sender) -> None:
    entity_id = new_id()
    entities = [
        agent(entity_id),
        agent(entity_id, businessId=new_id()),
        agent(entity_id, organisationName="other"),
    ]

    _, found = nurturecloud.deliver_batch(notification("Created", *entities))
    nurturecloud.deliver(notification("Created", agent(entity_id), component="contact"))

    assert found == ["stored"] * 3
    assert [entity["version"] for entity in stack.entities(id=entity_id)] == [1, 1, 1, 1]


def test_a_business_s_entities_are_listed_by_component_and_id(stack: Stack, nurturecloud: Sender) -> None:
    business = new_id()
    nurturecloud.deliver_batch(notification("Created", *(agent(each, businessId=business) for each in "bca")))
    nurturecloud.deliver(notification("Deleted", agent("b", businessId=business)))
    nurturecloud.deliver(notification("Created", agent("a", businessId=business), component="contacts"))

    answer = stack.client("dynamodb").query(
        TableName=stack.outputs["EntitiesTableName"],
        IndexName="by_business",
        KeyConditionExpression="business_id = :business AND begins_with(component_and_id, :component)",
        ExpressionAttributeValues={":business": {"S": business}, ":component": {"S": "agent#"}},
    )

    listed = [(item["component_and_id"]["S"], item["deleted"]["BOOL"]) for item in answer["Items"]]
    assert listed == [("agent#a", False), ("agent#b", True), ("agent#c", False)]
    assert {"account", "organisation", "version"} <= answer["Items"][0].keys()
    assert "content" not in answer["Items"][0]


def test_a_large_notification_leaves_large_contents_beside_the_tables(stack: Stack, nurturecloud: Sender) -> None:
    large, small = new_id(), new_id()
    note = "x" * (1_100 * KIB)

    sent, found = nurturecloud.deliver_batch(
        notification("Current", agent(large, name="large", note=note), agent(small, name="small"))
    )

    assert sent.line["offloaded"] is True
    assert found == ["stored", "stored"]
    content = the_entity(stack, large)["content"]
    assert json.loads(stack.object(content["data_key"])) == agent(large, name="large", note=note)
    assert name_of(the_entity(stack, small)) == "small"


def malformed() -> list[Any]:
    one = agent("x")
    return [
        pytest.param(b"", "JSON", id="empty"),
        pytest.param(b"{", "JSON", id="not json"),
        pytest.param(notification("deleted", one), '"state"', id="a state in another case"),
        pytest.param(b'{"domainComponentName":"agent","state":"Created","payload":1}', '"payload"', id="a number"),
        pytest.param(
            notification("Created", agent("x", organisationName=None)), '"organisationName"', id="no organisation"
        ),
        pytest.param(notification("Deleted", agent("x", mergedInto={})), '"mergedInto"', id="merged into nothing"),
        pytest.param(notification("Created", '{"id":"1","id":"2"}'), "object", id="a text"),
    ]


@pytest.mark.parametrize(("body", "reason"), malformed())
def test_content_without_an_entity_is_quarantined_with_its_reason(
    stack: Stack, nurturecloud: Sender, body: bytes, reason: str
) -> None:
    entities = len(stack.entities())

    sent, outcome = nurturecloud.deliver(body)

    assert outcome == "quarantined"
    [item] = items_of(stack, sent)
    assert item["kind"] == "quarantine"
    assert reason in item["reason"]
    assert len(stack.entities()) == entities


def test_one_entity_that_cannot_be_read_leaves_its_neighbours_alone(stack: Stack, nurturecloud: Sender) -> None:
    ids = [new_id() for _ in range(3)]
    bad = agent(ids[1], businessId=None)

    body = notification("Created", agent(ids[0]), bad, agent(ids[2]))

    sent, found = nurturecloud.deliver_batch(body)

    assert found == ["stored", "quarantined", "stored"]
    items = items_of(stack, sent)
    assert [item["kind"] for item in items] == ["event", "quarantine", "event"]
    assert '"businessId"' in items[1]["reason"]
    assert json.loads(items[1]["data"]) == bad
    assert message_body(items[1]["document"]) == body, "the whole delivery, so that it can be released"


# What is configured, and releases


def test_organisations_and_businesses_that_are_not_configured_are_quarantined(stack: Stack, nurturecloud: Sender) -> None:
    ours, also_ours, not_ours = new_id(), new_id(), new_id()
    entities = [
        agent(new_id(), businessId=ours),
        agent(new_id(), businessId=not_ours),
        agent(new_id(), businessId=also_ours, organisationName="other"),
        agent(new_id(), businessId=also_ours),
    ]

    with stack.settings(
        "processor", NURTURECLOUD_ORGANISATION=ORGANISATION, NURTURECLOUD_BUSINESSES=f"{ours}, {also_ours}"
    ):
        sent, found = nurturecloud.deliver_batch(notification("Created", *entities))

    assert found == ["stored", "quarantined", "quarantined", "stored"]
    reasons = [item["reason"] for item in items_of(stack, sent) if item["kind"] == "quarantine"]
    assert ['"businessId"' in reasons[0], '"organisationName"' in reasons[1]] == [True, True]
    assert ["NURTURECLOUD_BUSINESSES" in reasons[0], "NURTURECLOUD_ORGANISATION" in reasons[1]] == [True, True]


def test_released_entities_keep_their_order_of_arrival(stack: Stack, nurturecloud: Sender) -> None:
    neighbour, entity_id, business = new_id(), new_id(), new_id()
    names = ["first", "second"]
    entities = [agent(neighbour), *(agent(entity_id, businessId=business, name=name) for name in names)]
    with stack.settings("processor", NURTURECLOUD_BUSINESSES=BUSINESS):
        sent, found = nurturecloud.deliver_batch(notification("Updated", *entities))
    assert found == ["stored", "quarantined", "quarantined"]
    quarantined = [item for item in items_of(stack, sent) if item["kind"] == "quarantine"]
    assert stack.entities(id=entity_id) == []

    # Once the business is configured. Each item holds the whole delivery, so one of them is enough.
    for count, item in enumerate([quarantined[1], quarantined[0]], start=2):
        # With the line break that `aws … --output text` adds.
        stack.send_message(item["document"] + "\n")
        assert outcomes(stack.wait_for_record(sent.delivery_id, count)[-1]) == ["stored"] * 3

    released = stack.events(delivery_id=sent.delivery_id, subject=f"agent/{entity_id}")
    by_place = {int(item["index"]): item for item in released}
    assert sorted(by_place) == [1, 2]
    assert [by_place[place]["id"] for place in [1, 2]] == [f"{sent.delivery_id}.{place}" for place in [1, 2]]
    assert [by_place[place]["entity"]["change"] for place in [1, 2]] == ["created", "changed"]
    assert by_place[1]["received_at"] == quarantined[0]["received_at"]
    entity = the_entity(stack, entity_id)
    assert (entity["version"], name_of(entity)) == (2, "second")
    still = [item for item in items_of(stack, sent) if item["kind"] == "quarantine"]
    assert still == quarantined, "what was quarantined stays as a record"


def test_an_entity_with_a_corrected_body_keeps_its_order_of_arrival(stack: Stack, nurturecloud: Sender) -> None:
    entity_id = new_id()
    entities = [agent(entity_id, businessId=None, name="corrected"), agent(entity_id, name="newer")]
    sent, found = nurturecloud.deliver_batch(notification("Updated", *entities))
    assert found == ["quarantined", "stored"]
    [quarantined] = [item for item in items_of(stack, sent) if item["kind"] == "quarantine"]

    document = json.loads(quarantined["document"])
    body = json.loads(document["body"]["text"])
    body["payload"][0]["businessId"] = BUSINESS
    document["body"]["text"] = json.dumps(body)
    document["sha256"] = hashlib.sha256(document["body"]["text"].encode()).hexdigest()
    stack.send_message(json.dumps(document))

    assert outcomes(stack.wait_for_record(sent.delivery_id, 2)[-1]) == ["stored", "stored"]
    [released] = stack.events(id=f"{sent.delivery_id}.0")
    assert released["entity"]["change"] == "late"
    assert name_of(the_entity(stack, entity_id)) == "newer"


def test_an_entity_that_is_released_too_early_is_quarantined_as_before(stack: Stack, nurturecloud: Sender) -> None:
    entities = [agent(new_id()), agent(new_id(), businessId=None)]
    sent, _ = nurturecloud.deliver_batch(notification("Updated", *entities))
    items = items_of(stack, sent)

    stack.send_message(items[1]["document"])
    records = stack.wait_for_record(sent.delivery_id, 2)

    assert outcomes(records[-1]) == ["stored", "quarantined"]
    assert items_of(stack, sent) == items


# Deletions


def test_a_deletion_keeps_the_last_content(stack: Stack, nurturecloud: Sender) -> None:
    entity_id = new_id()
    nurturecloud.deliver(notification("Created", agent(entity_id, name="A")))

    sent, outcome = nurturecloud.deliver(notification("Deleted", agent(entity_id), as_object=True))
    _, again = nurturecloud.deliver(notification("Deleted", agent(entity_id)))

    assert (outcome, again) == ("stored", "duplicate")
    [item] = items_of(stack, sent)
    assert item["entity"]["change"] == "deleted"
    entity = the_entity(stack, entity_id)
    assert entity["deleted"] is True
    assert name_of(entity) == "A"
    assert "merged_into" not in entity["life"]


def test_a_merge_names_the_entity_that_replaces_this_one(stack: Stack, nurturecloud: Sender) -> None:
    gone, stays = new_id(), new_id()
    nurturecloud.deliver_batch(notification("Created", agent(gone), agent(stays)))

    sent, _ = nurturecloud.deliver(notification("Deleted", agent(gone, mergedInto=agent(stays)), as_object=True))

    [item] = items_of(stack, sent)
    target = {"account": "main", "component": "agent", "organisation": ORGANISATION, "business_id": BUSINESS, "id": stays}
    assert item["entity"]["change"] == "merged"
    assert item["entity"]["merged_into"] == target
    assert the_entity(stack, gone)["life"]["merged_into"] == target
    assert the_entity(stack, stays)["deleted"] is False


def test_an_entity_with_only_a_deletion_is_deleted(stack: Stack, nurturecloud: Sender) -> None:
    entity_id = new_id()

    sent, _ = nurturecloud.deliver(notification("Deleted", agent(entity_id)))

    assert items_of(stack, sent)[0]["entity"]["change"] == "deleted"
    entity = the_entity(stack, entity_id)
    assert (entity["deleted"], "content" in entity) == (True, False)


# The story: A -> B -> A -> a retry of A -> Deleted -> a late Updated -> Current. The crates tell it in order, and in others.

STORY = [
    ("Created A", "Created", "A"),
    ("Updated B", "Updated", "B"),
    ("Updated A", "Updated", "A"),
    ("Updated A, a retry", "Updated", "A"),
    ("Deleted", "Deleted", None),
    ("Updated C, late", "Updated", "C"),
    ("Current A", "Current", "A"),
]


def play(stack: Stack, nurturecloud: Sender, order: list[int]) -> tuple[list[str], dict[str, Any]]:
    """Sends the story in order, has it processed in another order, and returns each part's outcome and the entity."""
    entity_id = new_id()
    with stack.held_queue():
        sent = [
            nurturecloud.send(notification(state, agent(entity_id, name=name))).delivery_id for _, state, name in STORY
        ]
        documents = {json.loads(text)["delivery_id"]: text for text in stack.take_messages(len(STORY))}
    lines = []
    for place in order:
        stack.send_message(documents[sent[place]])
        outcome = nurturecloud.outcome(sent[place])
        [event] = stack.events(delivery_id=sent[place])
        assert event["outcome"] == outcome
        lines.append(f"{place + 1}. {STORY[place][0]:<18}  {outcome:<9}  {event['entity']['change']}")
    assert len(stack.events(subject=f"agent/{entity_id}")) == len(STORY)
    entity = as_in_the_model(the_entity(stack, entity_id))
    # Each play has its own entity and deliveries.
    entity["content"] = [(STORY[sent.index(arrival[1])][0], content["name"]) for arrival, content in entity["content"]]
    entity["life"] = [(STORY[sent.index(arrival[1])][0], state) for arrival, state in entity["life"]]
    print("\n  " + "\n  ".join(lines) + f"\n  {entity}")
    return lines, entity


IN_THE_END = {
    "version": 7,
    "deleted": False,
    "content": [("Current A", "A")],
    "life": [("Current A", "Current")],
    "merged_into": None,
}


def test_a_shuffled_story_ends_in_the_same_entity(stack: Stack, nurturecloud: Sender) -> None:
    lines, entity = play(stack, nurturecloud, [2, 5, 4, 0, 6, 3, 1])

    assert lines == [
        "3. Updated A           stored     created",
        "6. Updated C, late     stored     changed",
        "5. Deleted             stored     deleted",
        "1. Created A           stored     late",
        "7. Current A           stored     revived",
        "4. Updated A, a retry  duplicate  unchanged",
        "2. Updated B           stored     late",
    ]
    assert entity == IN_THE_END


# Many at once


def test_concurrent_deliveries_about_few_entities_end_in_the_order_of_arrival(
    stack: Stack, nurturecloud: Sender
) -> None:
    wait_until(lambda: stack.messages() == 0, what="an empty queue")
    stack.restart("processor")
    accounting, before = Accounting(stack), stack.processes("processor")
    chance = random.Random(4)
    ids = [new_id() for _ in range(4)]
    at_once = [some_notification(chance, ids) for _ in range(26)]
    # Cases that a single last-writer-wins register would get wrong.
    in_turn = [
        notification("Deleted", *(agent(each) for each in ids[:3])),
        notification("Updated", agent(ids[0], name="A"), agent(ids[1], name="B"), agent(ids[0], name="B")),
        notification("Current", agent(ids[1], name="A")),
        notification("Deleted", agent(ids[3], mergedInto=agent(ids[1]))),
    ]
    bodies = [*at_once, *in_turn]

    # The queue is held so that every message can be put on it twice, in another order. Then several processors start.
    with stack.held_queue():
        path, headers = nurturecloud.signer.path, nurturecloud.signer.headers(b"")

        def post(body: bytes) -> int:
            return stack.post("nurturecloud", body, headers, path).status

        with ThreadPoolExecutor(max_workers=8) as pool:
            statuses = list(pool.map(post, at_once))
        statuses += [post(body) for body in in_turn]
        assert set(statuses) == {200}
        documents = stack.take_messages(len(bodies))
        twice = documents * 2
        chance.shuffle(twice)
        put_on_queue(stack, twice)
    deliveries = {json.loads(text)["delivery_id"]: json.loads(text) for text in documents}
    for delivery_id in deliveries:
        stack.wait_for_record(delivery_id, count=2)
    wait_until(lambda: stack.messages() == 0, what="an empty queue")

    observed: dict[str, list[Observation]] = {each: [] for each in ids}
    for delivery_id, document in deliveries.items():
        body = json.loads(message_body(json.dumps(document)))
        for index, entity in enumerate(body["payload"]):
            arrival = (document["received_at"], delivery_id, index)
            observed[entity["id"]].append(Observation(arrival, body["state"], entity))
    entities = {each: as_in_the_model(the_entity(stack, each)) for each in ids}
    assert entities == {each: model(said) for each, said in observed.items()}
    assert [entities[each]["deleted"] for each in ids] == [True, False, True, True]

    # Each event is stored exactly once, and has advanced its entity by one version.
    events = [event for event in stack.events(provider="nurturecloud") if event["delivery_id"] in deliveries]
    places = Counter((event["delivery_id"], int(event["index"])) for event in events)
    assert places == Counter(each.arrival[1:] for said in observed.values() for each in said)
    for each, said in observed.items():
        versions = sorted(int(event["entity"]["version"]) for event in events if event["entity"]["id"] == each)
        assert versions == list(range(1, len(said) + 1))

    # The accounts balance: one outcome for each event, however often it was delivered.
    assert Counter(line["outcome"] for line in accounting.deliveries()) == {"accepted": len(bodies)}
    assert accounting.outcomes() == {
        (event["delivery_id"], int(event["index"])): {event["outcome"]} for event in events
    }
    assert Counter(event["outcome"] for event in events).keys() == {"stored", "duplicate"}

    def counted() -> dict[Any, int]:
        return {key: value for key, value in accounting.counters().items() if key != ("failed", ())}

    wait_until(lambda: counted() == accounting.expected_counters(), what="the balance of the counters")
    processors = stack.processes("processor") - before
    print(
        f"\n{len(bodies)} deliveries, each twice on the queue: {len(events)} events about {len(ids)} entities,"
        f" {processors} processors, {accounting.failed()} records were redelivered"
    )
    assert processors > 1


def some_notification(chance: random.Random, ids: list[str]) -> bytes:
    state = chance.choice(["Created", "Updated", "Updated", "Current", "Deleted"])
    entities = []
    for entity_id in chance.choices(ids, k=chance.randint(1, 3)):
        if state == "Deleted":
            merged_into = agent(chance.choice(ids)) if chance.random() < 0.3 else None
            entities.append(agent(entity_id, mergedInto=merged_into))
        else:
            entities.append(agent(entity_id, name=chance.choice("AB")))
    return notification(state, *entities)


def put_on_queue(stack: Stack, documents: list[str]) -> None:
    for start in range(0, len(documents), 10):
        entries = [
            {"Id": str(number), "MessageBody": text} for number, text in enumerate(documents[start : start + 10])
        ]
        answer = stack.client("sqs").send_message_batch(QueueUrl=stack.outputs["QueueUrl"], Entries=entries)
        assert len(answer["Successful"]) == len(entries)


# Failures of ours; those that every intake has are in test_failures.py


def test_without_permission_on_the_entities_neither_event_nor_entity_is_written(
    stack: Stack, nurturecloud: Sender, impatient_queue: None
) -> None:
    entity_id = new_id()
    failed = len(stack.lines("processor", "record failed"))

    with stack.without_permission("ProcessorRole", ["dynamodb:PutItem", "dynamodb:GetItem"], "EntitiesTable"):
        sent = nurturecloud.send(notification("Created", agent(entity_id)))
        wait_until(lambda: len(stack.lines("processor", "record failed")) > failed, what="the failure")
        assert (stack.events(delivery_id=sent.delivery_id), stack.entities(id=entity_id)) == ([], [])

    assert nurturecloud.outcome(sent.delivery_id) == "stored"
    assert len(stack.events(delivery_id=sent.delivery_id)) == 1
    assert the_entity(stack, entity_id)["version"] == 1


def test_a_transaction_whose_answer_is_lost_counts_once(stack: Stack, nurturecloud: Sender) -> None:
    entity_id = new_id()

    with stack.proxy.fault("DynamoDB.TransactWriteItems", "lose-answer", times=1):
        sent, outcome = nurturecloud.deliver(notification("Created", agent(entity_id)))

    assert outcome == "stored"
    assert len(stack.events(delivery_id=sent.delivery_id)) == 1
    assert the_entity(stack, entity_id)["version"] == 1
