"""A small stand-in for NurtureCloud's Data API: on request it resends its entities to the webhook."""

from __future__ import annotations

import base64
import contextlib
import http.server
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from confidential import CLIENT_SECRET, confidential
from notifications import Entity, notification

# The pairs that the deployed stack asks for.
BUSINESSES = [str(uuid.uuid4()) for _ in range(2)]
COMPONENTS = ["agent", "contact"]

PATH = re.compile(r"/v1/business/(?P<business>[^/]+)/(?P<component>[^/]+)/(?P<operation>sync-all|sync-by-id)")
PARAMETERS = {"sync-all": "since", "sync-by-id": "id"}


@dataclass(frozen=True)
class Asked:
    """One call: about what, such as `since=2026-01-01` or `id=...`, and the answer's status."""

    business_id: str
    component: str
    what: str
    status: int
    at: float


@dataclass
class Rejection:
    """An answer other than 202, for one pair of business and component or for all."""

    status: int
    business_id: str | None
    component: str | None
    retry_after: str | None
    times: int | None

    def applies(self, business_id: str, component: str) -> bool:
        pairs = [(self.business_id, business_id), (self.component, component)]
        return self.times != 0 and all(wanted in (None, asked) for wanted, asked in pairs)


class NurtureCloudApi:
    """Listens on a free port of the loopback interface. What a call asks for is posted by `webhook`, one body at a time."""

    def __init__(self) -> None:
        self.client_id = f"client-{uuid.uuid4()}"
        self.client_secret = confidential(secrets.token_urlsafe(32), CLIENT_SECRET)
        self.webhook: Callable[[bytes], str] | None = None
        self._held: dict[tuple[str, str, str], tuple[str, Entity]] = {}
        self._asked: list[Asked] = []
        self._rejections: list[Rejection] = []
        self._sent: list[Future[list[str]]] = []
        self._lock = threading.Lock()
        self._sender = ThreadPoolExecutor(max_workers=1)
        api = self

        class Handler(_Handler):
            owner = api

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._sender.shutdown()

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a stack that asks this API, as fast as it can."""
        return {
            "NurtureCloudBaseUrl": self.base_url,
            "NurtureCloudResyncBusinesses": ",".join(BUSINESSES),
            "NurtureCloudResyncComponents": ",".join(COMPONENTS),
            "NurtureCloudResyncCallsPerMinute": "6000",
        }

    @property
    def credentials(self) -> dict[str, str]:
        """What the secret of the resync has to hold."""
        return {"client_id": self.client_id, "client_secret": self.client_secret}

    def hold(self, component: str, *entities: Entity, changed: str | None = None) -> None:
        """These entities are current, and changed on that day; today unless it is said."""
        changed = changed or datetime.now(UTC).date().isoformat()
        with self._lock:
            for entity in entities:
                self._held[entity["businessId"], component, entity["id"]] = (changed, entity)

    @contextlib.contextmanager
    def rejecting(
        self,
        status: int,
        business_id: str | None = None,
        component: str | None = None,
        retry_after: str | None = None,
        times: int | None = None,
    ) -> Iterator[None]:
        """Answers with `status` inside the `with` block, at most `times` times."""
        rejection = Rejection(status, business_id, component, retry_after, times)
        with self._lock:
            self._rejections.append(rejection)
        try:
            yield
        finally:
            with self._lock:
                self._rejections.remove(rejection)

    def asked(self) -> list[Asked]:
        """The calls since the last time."""
        with self._lock:
            asked, self._asked = self._asked, []
        return asked

    def sent(self) -> list[str]:
        """What `webhook` returned for each notification since the last time, once all are sent."""
        with self._lock:
            sent, self._sent = self._sent, []
        return [answer for each in sent for answer in each.result(timeout=60)]

    def forget(self) -> None:
        """Resets everything: no entities, no recorded calls."""
        self.sent()
        self.asked()
        with self._lock:
            self._held.clear()

    def answer(self, path: str, authorization: str | None) -> tuple[int, str | None]:
        """The status of the answer to a call, and its `Retry-After`."""
        url = urlsplit(path)
        place, parameters = PATH.fullmatch(url.path), parse_qsl(url.query, keep_blank_values=True)
        if place is None or [name for name, _ in parameters] != [PARAMETERS[place["operation"]]]:
            return 400, None
        [(name, value)] = parameters
        expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        with self._lock:
            status, retry_after = 202, None
            if authorization != f"Basic {expected}":
                status = 401
            elif rejection := self._rejection(place["business"], place["component"]):
                status, retry_after = rejection.status, rejection.retry_after
            else:
                entities = self._wanted(place["business"], place["component"], name, value)
                if entities:
                    self._sent.append(self._sender.submit(self._send, place["component"], entities))
            call = Asked(place["business"], place["component"], f"{name}={value}", status, time.monotonic())
            self._asked.append(call)
        return status, retry_after

    def _rejection(self, business_id: str, component: str) -> Rejection | None:
        for rejection in self._rejections:
            if rejection.applies(business_id, component):
                if rejection.times is not None:
                    rejection.times -= 1
                return rejection
        return None

    def _wanted(self, business_id: str, component: str, name: str, value: str) -> list[Entity]:
        return [
            entity
            for (of_business, of_component, entity_id), (changed, entity) in self._held.items()
            if (of_business, of_component) == (business_id, component)
            and (entity_id == value if name == "id" else changed >= value)
        ]

    def _send(self, component: str, entities: list[Entity]) -> list[str]:
        """One entity goes as an object and the others as an array: NurtureCloud's pages show both."""
        assert self.webhook is not None
        first, *others = entities
        bodies = [notification("Current", first, component=component, as_object=True)]
        if others:
            bodies.append(notification("Current", *others, component=component))
        return [self.webhook(body) for body in bodies]


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: NurtureCloudApi
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        # As some servers do where a POST doesn't say that it has no body.
        if self.headers.get("Content-Length") != "0":
            status, retry_after = 411, None
        else:
            status, retry_after = self.owner.answer(self.path, self.headers.get("Authorization"))
        self.send_response_only(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()
