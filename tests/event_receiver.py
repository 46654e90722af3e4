"""A consumer's endpoint: it verifies with the Standard Webhooks project's own library, notes what arrives, and answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

Envelope = dict[str, Any]
# The answer to an envelope: a status, and perhaps the seconds after which to try again.
Rule = Callable[[Envelope], int | tuple[int, int]]


@dataclass(frozen=True)
class Post:
    """An envelope that arrived, verified."""

    envelope: Envelope
    headers: dict[str, str]
    body: bytes
    status: int
    at: float

    @property
    def key(self) -> tuple[str, str]:
        return self.envelope["source"], self.envelope["id"]


class EventReceiver:
    """Listens on a port of its own, which it keeps when it goes away and comes back."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.secrets = list(secrets)
        self.posts: list[Post] = []
        self.unverified = 0
        self.rule: Rule = lambda envelope: 204
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/events"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, wait = receiver._take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(status)
                if wait is not None:
                    self.send_header("Retry-After", str(wait))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, headers: dict[str, str], body: bytes) -> tuple[int, int | None]:
        if not any(_verifies(secret, headers, body) for secret in self.secrets):
            self.unverified += 1
            return 401, None
        envelope = json.loads(body)
        answer = self.rule(envelope)
        status, wait = answer if isinstance(answer, tuple) else (answer, None)
        with self._lock:
            self.posts.append(Post(envelope, headers, body, status, time.time()))
        return status, wait

    def taken(self) -> list[Post]:
        """The posts that were answered with success."""
        with self._lock:
            return [post for post in self.posts if 200 <= post.status < 300]


def _verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True
