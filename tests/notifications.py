"""NurtureCloud's notifications, and a model of the entities that they report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

ORGANISATION = "raywhite"
BUSINESS = "00000000-0000-0000-0000-000000000001"

Entity = dict[str, Any]
# When an event arrived: the time and id of its delivery, and its index.
Arrival = tuple[str, str, int]


def agent(entity_id: str, **members: Any) -> Entity:
    """An entity as in NurtureCloud's documentation; a member that is None is left out."""
    entity = {"organisationName": ORGANISATION, "businessId": BUSINESS, "id": entity_id, **members}
    return {name: value for name, value in entity.items() if value is not None}


def notification(state: str, *entities: Any, component: str = "agent", as_object: bool = False) -> bytes:
    """A notification about these entities, as an array or, for a single one, as an object."""
    [*payload] = entities
    body = {
        "domainComponentName": component,
        "state": state,
        "payload": payload[0] if as_object else payload,
    }
    return json.dumps(body).encode()


@dataclass(frozen=True)
class Observation:
    """The report of one event about an entity, and when it arrived."""

    arrival: Arrival
    state: str
    entity: Entity


def model(observed: list[Observation]) -> dict[str, Any]:
    """The entity that these events describe, computed in the simplest way: the last arrival wins."""
    by_arrival = sorted(observed, key=lambda each: each.arrival)
    content = [each for each in by_arrival if each.state != "Deleted"][-1:]
    existence = [each for each in by_arrival if each.state != "Updated"][-1:]
    deleted = [each.state for each in existence] == ["Deleted"]
    return {
        "version": len(observed),
        "deleted": deleted,
        "content": [(each.arrival, each.entity) for each in content],
        "life": [(each.arrival, each.state) for each in existence],
        "merged_into": existence[0].entity.get("mergedInto", {}).get("id") if deleted else None,
    }


def as_in_the_model(item: dict[str, Any]) -> dict[str, Any]:
    """An item of the entities table in the form of the model."""

    def arrival(register: dict[str, Any]) -> Arrival:
        return register["received_at"], register["delivery_id"], int(register["index"])

    content, existence = ([item[name]] if name in item else [] for name in ["content", "life"])
    return {
        "version": int(item["version"]),
        "deleted": item["deleted"],
        "content": [(arrival(each), json.loads(each["data"])) for each in content],
        "life": [(arrival(each), each["state"].capitalize()) for each in existence],
        "merged_into": existence[0].get("merged_into", {}).get("id") if item["deleted"] else None,
    }
