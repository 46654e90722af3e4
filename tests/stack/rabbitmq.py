"""A private RabbitMQ as a child process, with its own ports, epmd and folder."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
import secrets
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .emulator import free_port
from .process_group import ProcessGroup
from .wait import wait_until

INSTALLED = Path("/usr/lib/rabbitmq/lib")
NODE = "webhook-intake-test@localhost"


def scripts() -> Path:
    """Where RabbitMQ's own scripts are. The ones on the path switch to another user."""
    found = sorted(INSTALLED.glob("rabbitmq_server-*/sbin"))
    if not found:
        raise RuntimeError("RabbitMQ is missing; on Debian and Ubuntu: apt install rabbitmq-server")
    return found[-1]


def make_certificates(folder: Path) -> Path:
    """A certificate of localhost, and the root that signed it."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: str, issuer: str, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey):
        is_root = subject == issuer
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            .sign(signer, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    roots = folder / "roots.pem"
    roots.write_bytes(certificate("root.test", "root.test", root_key.public_key(), root_key))
    (folder / "broker.pem").write_bytes(certificate("localhost", "root.test", key.public_key(), root_key))
    (folder / "broker.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return roots


class RabbitMq:
    """One node with a login that may do what NowCerts lets us do: read."""

    username = "agency"
    password = "a;password=of the test"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port, epmd_port, distribution_port = free_port(), free_port(), free_port()
        plugins = folder / "enabled_plugins"
        plugins.write_text("[].\n")
        configuration = folder / "rabbitmq.conf"
        self.tls_port = free_port()
        self.roots = make_certificates(folder)
        configuration.write_text(
            "loopback_users = none\n"
            "vm_memory_high_watermark.relative = 0.6\n"
            "disk_free_limit.absolute = 50MB\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {folder}/broker.pem\n"
            f"ssl_options.keyfile = {folder}/broker.key\n"
            f"load_definitions = {folder}/definitions.json\n"
        )
        (folder / "definitions.json").write_text(json.dumps(self._definitions()))
        (folder / "empty.conf").write_text("")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / "rabbitmq.log"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ADVANCED_CONFIG_FILE": "none",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "empty.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                # One scheduler, which sleeps when it has nothing to do instead of looking for work.
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }
        self._epmd = ProcessGroup(["epmd"], env=self.environment, stdout=subprocess.DEVNULL)
        self._server: ProcessGroup | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def _definitions(self) -> dict[str, object]:
        """The users, and what each may do. With users given, the broker makes no guest."""

        def user(name: str, password: str) -> dict[str, object]:
            # Source: RabbitMQ, "Credentials and Passwords": a salt of 4 bytes, and the SHA-256 of salt and password.
            salt = secrets.token_bytes(4)
            password_hash = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
            algorithm = "rabbit_password_hashing_sha256"
            return {"name": name, "password_hash": password_hash, "hashing_algorithm": algorithm, "tags": []}

        def permissions(name: str, configure: str, write: str, read: str) -> dict[str, str]:
            return {"user": name, "vhost": "/", "configure": configure, "write": write, "read": read}

        return {
            "vhosts": [{"name": "/"}],
            "users": [user("publisher", "publisher"), user(self.username, self.password)],
            "permissions": [
                permissions("publisher", ".*", ".*", ".*"),
                # Read only: declaring, binding and publishing are refused.
                permissions(self.username, "^$", "^$", ".*"),
            ],
        }

    def start(self) -> None:
        """Starts the node, with what an earlier one left in the folder."""
        output = (self.folder / "output").open("ab")
        self._server = ProcessGroup(
            [scripts() / "rabbitmq-server"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        wait_until(self._runs, what="the start of RabbitMQ")

    def _runs(self) -> bool:
        """Whether the node has started whole: what `rabbitmqctl await_startup` waits for, without the second of processor time
        that each start of it takes."""
        assert self._server
        if self._server.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended:\n{(self.folder / 'output').read_text()[-2000:]}")
        # The node isn't there yet, or not yet whole.
        with contextlib.suppress(FileNotFoundError, RuntimeError):
            return self._evaluate("rabbit:is_running().") == "{ok, true}"
        return False

    def control(self, *arguments: str) -> str:
        """Runs rabbitmqctl."""
        command = [scripts() / "rabbitmqctl", "--quiet", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def kill(self) -> None:
        """Ends the node as a power failure would."""
        assert self._server
        self._server.kill()
        self._server = None

    def revive(self) -> None:
        """Brings the node back after a fault."""
        if self._server is None:
            self.start()
        else:
            self.control("start_app")
            wait_until(self._runs, what="the start of the application")

    def close(self) -> None:
        if self._server:
            self._server.stop(patience=20)
        self._epmd.stop(patience=5)

    @property
    def version(self) -> str:
        return self.control("version").strip()

    def connection_string(self) -> str:
        """In NowCerts' form, without the password."""
        return f"host=127.0.0.1:{self.port};virtualHost=/;username={self.username}"

    def secret(self) -> dict[str, object]:
        """The function's secret, except for the queue."""
        return {
            "account": "main",
            "connection_string": self.connection_string(),
            "password": self.password,
            "tls": False,
        }

    def depth(self, queue: str) -> tuple[int, int]:
        """Number of messages that are ready, and number in flight."""
        # What `rabbitmqctl list_queues` asks for, without the second that starting it takes.
        listed = self._evaluate(
            f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<{json.dumps(queue)}>>)),'
            " [{_, Ready}, {_, Out}] = rabbit_amqqueue:info(Queue, [messages_ready, messages_unacknowledged]),"
            " {Ready, Out}."
        )
        found = re.fullmatch(r"\{ok, \{(\d+),\s*(\d+)\}\}", listed)
        if found is None:
            raise KeyError(f"{queue}: {listed}")
        return int(found[1]), int(found[2])

    def _evaluate(self, expression: str) -> str:
        """Has the node evaluate an expression of Erlang's."""
        node = f"127.0.0.1:{self.environment['RABBITMQ_DIST_PORT']}"
        cookie = (self.folder / ".erlang.cookie").read_text()
        command = ["erl_call", "-address", node, "-c", cookie, "-e"]
        done = subprocess.run(
            command, input=f"{expression}\n", env=self.environment, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise RuntimeError(f"erl_call failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def has_memory_alarm(self) -> bool:
        return re.search(r"resource_limit,\s*memory", self._evaluate("rabbit_alarm:get_alarms().")) is not None

    def connections(self) -> int:
        return len(json.loads(self.control("list_connections", "--formatter", "json", "user")))

    def wait_for_depth(self, queue: str, ready: int, out: int = 0, timeout: float = 30) -> None:
        wait_until(
            lambda: self.depth(queue) == (ready, out), timeout, interval=0.3, what=f"{ready} ready, {out} out"
        )
