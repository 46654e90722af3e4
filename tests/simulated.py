"""Signs for a provider that has no signer of its own in `signers.py`: `webhook-intake send` does, with the sample keys of events/keys.

So every provider of the template can be driven. What proves that a signature is right is written once more in Python, in
`signers.py`, where the provider does something that no other does.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack import template
from stack.stack import BINARIES

KEYS = template.ROOT / "events" / "keys"
# What any client sends.
ORDINARY = {"host", "content-length", "user-agent", "accept", "accept-encoding", "connection"}


class SimulatedSigner:
    """Signs as a provider does, with its sample keys."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        [self._secret] = KEYS.glob(f"{provider}-secret.json")

    def key(self) -> dict[str, Any]:
        """The sample key's entry in the list of active keys."""
        [entry] = json.loads(self._secret.read_text())["keys"]
        return entry

    def headers(self, body: bytes) -> dict[str, str]:
        return self._request("--body", "-", text=body)[0]

    def headers_of_another(self, body: bytes) -> dict[str, str]:
        """A signature of another body."""
        return self._request("--body", "-", text=body + b" ")[0]

    def event(self) -> bytes:
        """A body with one event that was never seen before."""
        return self._request()[1]

    def _request(self, *options: str, text: bytes = b"") -> tuple[dict[str, str], bytes]:
        """The headers and the body that `send` sends."""
        with _receiver() as (url, requests), tempfile.TemporaryDirectory() as folder:
            key = ["--key", str(self._private_key())]
            command = [BINARIES / "webhook-intake", "--data-directory", folder, "send", self.provider, "--url", url, *key, *options]
            done = subprocess.run(command, input=text, capture_output=True, timeout=30)
            assert len(requests) == 1, done.stderr
        return requests[0]

    def _private_key(self) -> Path:
        """What signs: the file beside the secret, or where the secret signs as well, that one."""
        others = [file for file in sorted(KEYS.glob(f"{self.provider}-*")) if file != self._secret]
        return (others or [self._secret])[0]


@contextmanager
def _receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that accepts what it gets and writes it down."""
    requests: list[tuple[dict[str, str], bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            own = {name: value for name, value in self.headers.items() if name.lower() not in ORDINARY}
            requests.append((own, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
