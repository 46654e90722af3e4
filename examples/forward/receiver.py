"""Receives the events that `serve --forward-to` posts. Counts them by type, and keeps the present state of each entity.

Replace the count by your own work. An event may come more than once, and after a failure out of order. Usage:

    WEBHOOK_SECRET=whsec_… python receiver.py 127.0.0.1:9000 events.sqlite3
"""

import json
import logging
import os
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

TABLES = """
CREATE TABLE IF NOT EXISTS handled (source, id, PRIMARY KEY (source, id));
CREATE TABLE IF NOT EXISTS totals (source, type, events INTEGER NOT NULL, PRIMARY KEY (source, type));
CREATE TABLE IF NOT EXISTS conflicts (source, id, conflictwith, deliveryid, PRIMARY KEY (source, id));
CREATE TABLE IF NOT EXISTS entities (source, entity, version, change, content, mergedinto, PRIMARY KEY (source, entity));
"""
log = logging.getLogger("receiver")


def handle(database, envelope):
    """Runs in one transaction: a crash leaves nothing of it, and the event is delivered again."""
    source, id = envelope["source"], envelope["id"]
    if "entity" in envelope:
        keep_newest(database, envelope)
    elif envelope["outcome"] == "stored":
        if database.execute("INSERT OR IGNORE INTO handled VALUES (?, ?)", [source, id]).rowcount:
            count(database, envelope)
    elif envelope["outcome"] == "conflict":
        # Other content under an id that is known: a person decides which one holds.
        conflict = [source, id, envelope["conflictwith"], envelope["deliveryid"]]
        database.execute("INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?, ?)", conflict)
    elif envelope["outcome"] != "repeat":
        raise ValueError(f"unknown outcome {envelope['outcome']}")
    # The event that a repeat names in `repeatof` has, or will have, the same effect.


def count(database, envelope):
    database.execute(
        "INSERT INTO totals VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET events = events + 1",
        [envelope["source"], envelope["type"]],
    )


def keep_newest(database, envelope):
    """A deleted entity keeps its row, or an older event would revive it."""
    change, content = envelope["entitychange"], None
    if change == "late":
        return
    if change not in ("deleted", "merged"):
        content = envelope.get("entitycontent") or json.dumps(envelope["data"])
    database.execute(
        """INSERT INTO entities VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
           SET version = excluded.version, change = excluded.change, content = excluded.content,
               mergedinto = excluded.mergedinto WHERE excluded.version > version""",
        [envelope["source"], envelope["entity"], envelope["entityversion"], change, content, envelope.get("mergedinto")],
    )


class Receiver(BaseHTTPRequestHandler):
    webhook = Webhook(os.environ["WEBHOOK_SECRET"])


    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            envelope = self.webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError) as error:
            # Not 400, which says that the event is never wanted: it is delivered again, after the secret is corrected.
            return self.answer(401, str(error))
        try:
            with closing(sqlite3.connect(self.server.file)) as database, database:
                handle(database, envelope)
        except Exception:
            log.exception("event of message %s is not handled and will be delivered again", self.headers["webhook-id"])
            return self.answer(500, "not handled")
        self.answer(204)

    def answer(self, status, reason=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(reason)))
        self.end_headers()
        self.wfile.write(reason.encode())


if __name__ == "__main__":
    address, file = sys.argv[1:]
    host, _, port = address.partition(":")
    with ThreadingHTTPServer((host, int(port)), Receiver) as server, closing(sqlite3.connect(file)) as database:
        server.file = file
        database.executescript(TABLES)
        print(f"listening on {host}:{server.server_port}", flush=True)
        server.serve_forever()
