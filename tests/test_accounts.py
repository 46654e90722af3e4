"""Two accounts of one provider: their events never interfere with each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from authority import Authority, Bearer, Client, put_authority, sterling_batch, sterling_delivery, sterling_event
from notifications import agent, notification
from senders import Sender, new_id
from signers import MachnetSigner, PathSecret, machnet_event
from stack.stack import Stack


@pytest.fixture
def other_machnet(stack: Stack, machnet: Sender) -> Iterator[MachnetSigner]:
    """Adds a second account, and removes it afterwards."""
    other = MachnetSigner("the-secret-of-another-machnet-account", account="other")
    stack.put_keys("machnet", machnet.signer.key(), other.key())
    stack.restart("machnet")
    yield other
    stack.put_keys("machnet", machnet.signer.key())
    stack.restart("machnet")


def test_the_same_id_of_two_machnet_accounts_is_two_events(
    stack: Stack, machnet: Sender, other_machnet: MachnetSigner
) -> None:
    event_id, resource = new_id(), new_id()
    body = machnet_event(event_id, resource)
    of_other = machnet_event(event_id, resource, payload={"status": "FAILED"})

    assert machnet.deliver(body)[1] == "stored"
    assert machnet.deliver(of_other, signer=other_machnet)[1] == "stored", "no conflict"
    assert machnet.deliver(body)[1] == "duplicate"
    assert machnet.deliver(of_other, signer=other_machnet)[1] == "duplicate"

    items = {item["account"]: item for item in stack.events(id=event_id)}
    assert {account: item["outcome"] for account, item in items.items()} == {"main": "stored", "other": "stored"}
    assert {item["source"] for item in items.values()} == {"/webhooks/machnet/main", "/webhooks/machnet/other"}
    assert items["other"]["data"].encode() == of_other


def test_the_same_state_of_two_machnet_accounts_is_not_a_repeat(
    stack: Stack, machnet: Sender, other_machnet: MachnetSigner
) -> None:
    resource = new_id()

    assert machnet.deliver(machnet_event(new_id(), resource))[1] == "stored"
    assert machnet.deliver(machnet_event(new_id(), resource), signer=other_machnet)[1] == "stored"
    assert machnet.deliver(machnet_event(new_id(), resource), signer=other_machnet)[1] == "repeat"


def test_an_event_stays_the_same_while_its_account_changes_its_key(
    stack: Stack, machnet: Sender, other_machnet: MachnetSigner
) -> None:
    body = machnet_event(new_id(), new_id())
    assert machnet.deliver(body, signer=other_machnet)[1] == "stored"

    renewed = MachnetSigner("the-next-secret-of-that-machnet-account", account="other")
    # `label` means the account, too.
    key = renewed.key()
    key["label"] = key.pop("account")
    stack.put_keys("machnet", machnet.signer.key(), key)
    stack.restart("machnet")

    assert machnet.deliver(body, signer=renewed)[1] == "duplicate"
    assert machnet.deliver(body)[1] == "stored", "under the first account it is new"


def test_an_entry_that_names_its_account_twice_is_rejected_with_a_reason(
    stack: Stack, machnet: Sender, other_machnet: MachnetSigner
) -> None:
    stack.put_keys("machnet", machnet.signer.key(), other_machnet.key() | {"label": "other"})
    stack.restart("machnet")

    sent = machnet.send(machnet_event(new_id(), new_id()), signer=other_machnet)

    assert (sent.answer.status, sent.line["reason"]) == (409, "signature-mismatch")
    said = [line for line in stack.lines("machnet") if "both account and label" in str(line)]
    assert said and all(other_machnet.secret not in str(line) for line in said)


def test_the_same_event_of_two_sterling_accounts_is_two_events_and_a_tenants_new_client_repeats_nothing(
    stack: Stack, sterling: Sender, authority: Authority
) -> None:
    tenant, other = Client("ibm-sterling-2", account=authority.client.account), Client("other-tenant")
    several = Authority()
    several.key, several.client = authority.key, authority.client
    several.clients = [authority.client, tenant, other]
    put_authority(stack, several)
    stack.restart("sterling")
    try:
        body = sterling_delivery(sterling_batch(sterling_event(new_id())))
        outcomes = [
            sterling.deliver(body, signer=Bearer(several.token(client_id=client.client_id, sub=client.client_id)))
            for client in [authority.client, other, tenant, other, authority.client]
        ]
    finally:
        put_authority(stack, authority)
        stack.restart("sterling")

    assert [outcome for _, outcome in outcomes] == ["stored", "stored", "duplicate", "duplicate", "duplicate"]
    stored = [item for sent, _ in outcomes for item in stack.items(delivery_id=sent.delivery_id)]
    assert [item["source"] for item in stored] == ["/webhooks/sterling/ibm-sterling", "/webhooks/sterling/other-tenant"]
    assert stored[0]["pk"] != stored[1]["pk"]
    assert stored[0]["id"] == stored[1]["id"]


def test_the_same_entity_of_two_nurturecloud_accounts_is_two_entities(
    stack: Stack, nurturecloud: Sender, path_secret: PathSecret, other_path_secrets: None
) -> None:
    other = PathSecret("other")
    stack.put_keys("nurturecloud", path_secret.key(), other.key())
    entity_id = new_id()
    created, deleted = notification("Created", agent(entity_id)), notification("Deleted", agent(entity_id))

    first, outcome = nurturecloud.deliver(created)
    assert outcome == "stored"
    second, outcome = nurturecloud.deliver(deleted, signer=other)
    assert outcome == "stored"

    entities = {entity["account"]: entity for entity in stack.entities(id=entity_id)}
    assert {account: (entity["version"], entity["deleted"]) for account, entity in entities.items()} == {
        "main": (1, False),
        "other": (1, True),
    }
    assert nurturecloud.deliver(created)[1] == "duplicate"
