"""`make local-aws` in a copy of what it needs: everything that works without containers.

The functions are the binaries of the ordinary build. They run under `cargo lambda watch --only-lambda-apis`, which serves
Lambda's Runtime API without compiling anything, and are invoked by `cargo lambda invoke`. For `sam local`, there are stand-ins for
cargo and for Docker's API.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from bill import WEBHOOKS
from stack import template
from stack.emulator import CREDENTIALS, REGION, free_port
from stack.process_group import ProcessGroup
from stack.stack import BINARIES, SAM
from stack.wait import wait_until

EVENTS = template.ROOT / "events"
NO_DOCKER = "unix:///nowhere/docker.sock"
# The functions that are left out without a parameter that switches them on.
OPTIONAL = {"nurturecloud-resync"}

# Stands in for cargo and cargo-lambda. Notes its arguments, and writes a binary that consists of an executable's first
# bytes, for the machine that the file `machine` names.
CARGO = """#!/bin/sh
case "$1" in
metadata) echo '{"target_directory": "'"$PWD"'/target", "packages": []}' ;;
lambda)
    echo "$*" >>built.log
    binary=$(echo "$*" | sed -n 's/.*--bin \\([^ ]*\\).*/\\1/p')
    mkdir -p "target/lambda/$binary"
    printf "\\\\177ELF--------------$(cat machine)\\\\0" >"target/lambda/$binary/bootstrap"
    ;;
esac
"""
X86_64, ARM64 = "\\076", "\\267"


def environment_at(home: Path) -> dict[str, str]:
    """The environment of a user without settings, but with the installed Rust toolchains."""
    folders = {"RUSTUP_HOME": ".rustup", "CARGO_HOME": ".cargo"}
    rust = {name: os.environ.get(name, str(Path.home() / folder)) for name, folder in folders.items()}
    return {"PATH": os.environ["PATH"], "HOME": str(home)} | rust


class Checkout:
    """A copy of what `make local-aws` needs, in which its tools are installed and nothing is built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".local-aws"
        self.port = free_port()
        for name in ["Makefile", "template.yaml"]:
            shutil.copy(template.ROOT / name, folder)
        for name in ["deploy", "events"]:
            shutil.copytree(template.ROOT / name, folder / name)
        installed = dict.fromkeys(["tests/install-tools", "tests/install-cargo-tool"], "#!/bin/sh\n")
        scripts = installed | {"stand-in/cargo": CARGO, "stand-in/cargo-lambda": ""}
        for name, text in scripts.items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        tools = folder / ".tools"
        tools.mkdir()
        for name, place in [("tests", Path(sys.prefix)), ("sam", SAM.parents[1])]:
            (tools / name).symlink_to(place)
        (tools / "build").symlink_to(template.ROOT / ".tools" / "build")

    def run(self, command: str, docker: str = NO_DOCKER) -> subprocess.CompletedProcess[str]:
        environment = environment_at(self.folder) | {"DOCKER_HOST": docker}
        return subprocess.run(
            command,
            shell=True,
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )

    def make(self, target: str, docker: str = NO_DOCKER) -> str:
        """What a command prints that succeeds."""
        done = self.run(f"make {target}", docker)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def refused(self, target: str) -> str:
        """The sentence with which a command refuses."""
        done = self.run(f"make {target}")
        assert done.returncode == 2, done.stdout
        [sentence, _] = done.stdout.splitlines()
        return sentence

    def pid(self) -> int:
        return json.loads((self.state / "emulator.json").read_text())["pid"]

    def variables(self, binary: str) -> dict[str, str]:
        lines = (self.state / f"{binary}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.variables("machnet")["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )


@contextlib.contextmanager
def new_checkout(folder: Path) -> Iterator[Checkout]:
    checkout = Checkout(folder)
    try:
        yield checkout
    finally:
        if checkout.state.exists():
            checkout.run("make local-aws-down")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with a running emulator, with nothing built and without Docker."""
    with new_checkout(tmp_path_factory.mktemp("checkout")) as checkout:
        checkout.make(f"local-aws PORT={checkout.port}")
        yield checkout


def runs(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# The emulator


def test_a_second_start_leaves_what_runs_as_it_is(checkout: Checkout) -> None:
    before = checkout.pid(), checkout.variables("processor")

    said = checkout.make("local-aws")

    assert said.startswith(f"The emulator runs already at http://127.0.0.1:{checkout.port} (process {checkout.pid()})")
    assert (checkout.pid(), checkout.variables("processor")) == before
    # Neither Docker nor a build is needed for the rest.
    assert "  The functions are not built; run `make local-aws-build`" in said
    assert "  Docker (or Finch on macOS) does not answer; start it" in said
    assert not sam_commands(said)
    assert "  cargo lambda watch --env-file .local-aws/machnet.env " in said


def test_another_port_is_refused_while_the_emulator_runs(checkout: Checkout) -> None:
    assert checkout.refused(f"local-aws PORT={checkout.port + 1}") == (
        f"The emulator runs already, on port {checkout.port}; run `make local-aws-down` first."
    )


def test_an_emulator_without_what_a_changed_template_needs_is_refused(checkout: Checkout) -> None:
    file = checkout.folder / "template.yaml"
    original = file.read_text()
    file.write_text(original.replace("VisibilityTimeout: 180", "VisibilityTimeout: 181"))
    try:
        assert "does not hold what template.yaml asks for now; run `make local-aws-down`" in checkout.refused("local-aws")
    finally:
        file.write_text(original)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with new_checkout(tmp_path) as other, socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        assert other.refused(f"local-aws PORT={taken}") == (
            f"Port {taken} cannot be used (Address already in use); choose another, as in "
            f"`make local-aws PORT={taken + 1}`."
        )


def test_a_missing_emulator_is_named(tmp_path: Path) -> None:
    with new_checkout(tmp_path) as other:
        (tmp_path / ".tools" / "tests").unlink()

        assert other.refused("local-aws") == "The emulator is not installed; run `make tools-test`."


def test_nothing_of_a_crashed_emulator_is_in_the_way(tmp_path: Path) -> None:
    with new_checkout(tmp_path) as other:
        other.make(f"local-aws PORT={other.port}")
        crashed = other.pid()
        os.kill(crashed, signal.SIGKILL)
        wait_until(lambda: not runs(crashed))

        assert other.make(f"local-aws PORT={other.port}").startswith("The emulator runs at ")
        restarted = other.pid()
        assert other.make("local-aws-down") == "The emulator is stopped, and what it held is gone.\n"
        assert not runs(restarted) and not other.state.exists()


# What the functions need


def test_each_function_gets_every_variable_that_the_template_gives_it(checkout: Checkout) -> None:
    original = template.original()
    # Less a file of Lambda's image.
    shared = original["Globals"]["Function"]["Environment"]["Variables"].keys() - {"SSL_CERT_FILE"}
    of_aws = {"AWS_ENDPOINT_URL", "AWS_REGION", *CREDENTIALS}
    for name, binary in template.binaries(original).items():
        if binary in OPTIONAL:
            continue
        given = original["Resources"][name]["Properties"]["Environment"]["Variables"]
        # An empty value is the same as none.
        optional = {
            variable
            for variable, value in given.items()
            if "Ref" in value and original["Parameters"].get(value["Ref"], {}).get("Default") == ""
        }
        assert set(checkout.variables(binary)) == {*shared, *given, *of_aws} - optional, binary


def test_all_that_the_variables_name_is_there(checkout: Checkout) -> None:
    processor, nowcerts = checkout.variables("processor"), checkout.variables("nowcerts")
    tables = checkout.client("dynamodb")
    for variable, index in [("EVENTS_TABLE", "by_time"), ("ENTITIES_TABLE", "by_business")]:
        table = tables.describe_table(TableName=processor[variable])["Table"]
        assert [each["IndexName"] for each in table["GlobalSecondaryIndexes"]] == [index]
    checkout.client("s3").head_bucket(Bucket=processor["PAYLOADS_BUCKET"])
    queue = checkout.client("sqs").get_queue_attributes(QueueUrl=nowcerts["QUEUE_URL"], AttributeNames=["All"])
    assert queue["Attributes"]["VisibilityTimeout"] == "180"
    assert "deadLetterTargetArn" in queue["Attributes"]["RedrivePolicy"]
    bus = checkout.variables("publisher")["EVENT_BUS"]
    assert checkout.client("events").describe_event_bus(Name=bus)["Name"] == bus


def test_the_secrets_hold_the_sample_keys(checkout: Checkout) -> None:
    held = {
        binary: checkout.client("secretsmanager").get_secret_value(SecretId=variables["SECRET_ID"])["SecretString"]
        for binary in template.binaries(template.original()).values()
        if binary not in OPTIONAL and "SECRET_ID" in (variables := checkout.variables(binary))
    }
    keys = {each: f"{each}-secret" for each in WEBHOOKS} | {
        "sterling": "sterling-verification",
        "sterling-token": "sterling-authority",
    }
    # There is no sample login for a broker.
    expected = {binary: (EVENTS / "keys" / f"{name}.json").read_text() for binary, name in keys.items()}
    assert held == expected | {"nowcerts": "{}"}


# cargo-lambda


class Watched:
    """One compiled function behind cargo-lambda's Runtime API."""

    def __init__(self, checkout: Checkout, binary: str) -> None:
        self._checkout, self._binary, self._port = checkout, binary, free_port()
        self._invoked_at = f"--invoke-address 127.0.0.1 --invoke-port {self._port}"
        self._log = (checkout.folder / f"{binary}-watch.log").open("wb")
        # It insists on a Cargo.toml, so it starts in the real checkout.
        watch = f". {checkout.state}/shell; exec cargo lambda watch --only-lambda-apis {self._invoked_at}"
        # The file is read as cargo-lambda reads it for a function that it compiles itself.
        function = f'set -a; . {checkout.state}/{binary}.env; exec "{BINARIES / binary}"'
        self._watch = self._start(watch, {})
        try:
            wait_until(self._answers, what="the start of cargo lambda watch")
            self._function = self._start(
                function,
                {
                    "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{self._port}/.rt/{binary}",
                    "AWS_LAMBDA_FUNCTION_NAME": binary,
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                    "AWS_LAMBDA_FUNCTION_VERSION": "1",
                },
            )
        except BaseException:
            self._watch.kill()
            raise

    def _start(self, command: str, variables: dict[str, str]) -> ProcessGroup:
        return ProcessGroup(
            ["sh", "-c", command],
            env=environment_at(self._checkout.folder) | variables,
            cwd=template.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _answers(self) -> bool:
        assert self._watch.poll() is None, Path(self._log.name).read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._function.kill()
        self._watch.kill()
        self._log.close()

    def invoke(self, event: str) -> Any:
        command = f"cargo lambda invoke {self._binary} {self._invoked_at} --data-file {event}"
        done = self._checkout.run(f". .local-aws/shell; {command}")
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)


def test_a_genuine_event_is_accepted_and_a_tampered_one_is_not(checkout: Checkout) -> None:
    with Watched(checkout, "machnet") as machnet:
        accepted = machnet.invoke("events/machnet.json")
        refused = machnet.invoke(".local-aws/machnet-tampered.json")

    assert accepted["statusCode"] == 200, accepted
    delivery_id = json.loads(accepted["body"])["delivery_id"]
    queue = checkout.variables("machnet")["QUEUE_URL"]
    [message] = checkout.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"])["delivery_id"] == delivery_id
    assert refused["statusCode"] == 409
    assert json.loads(refused["body"])["type"].endswith("signature-mismatch"), refused


def test_the_sample_batch_is_recorded(checkout: Checkout) -> None:
    with Watched(checkout, "processor") as processor:
        assert processor.invoke("events/processor.json") == {"batchItemFailures": []}

    table = checkout.client("dynamodb").scan(TableName=checkout.variables("processor")["EVENTS_TABLE"])
    recorded = {item["provider"]["S"] for item in table["Items"] if item["kind"]["S"] == "event"}
    messages = json.loads((EVENTS / "processor.json").read_text())["Records"]
    assert recorded == {json.loads(message["body"])["provider"] for message in messages}


# SAM


class Docker:
    """Docker's API, as far as it is asked before anything runs in a container."""

    def __init__(self, has_image: bool, gateway: str = "127.0.0.2") -> None:
        self.pulled: list[str] = []
        self.containers: dict[str, Any] = {}
        docker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("/_ping"):
                    self._answer(200, "OK")
                elif self.path.endswith("/networks/bridge"):
                    self._answer(200, {"IPAM": {"Config": [{"Subnet": "127.0.0.0/8", "Gateway": gateway}]}})
                elif "/images/" in self.path and has_image:
                    self._answer(200, {"Id": "sha256:0", "RepoTags": []})
                elif "/containers/json" in self.path:
                    self._answer(200, [{"Id": name} for name in docker.containers])
                elif "/containers/" in self.path:
                    self._answer(200, docker.containers[self.path.split("/")[-2]])
                else:
                    self._answer(404, {"message": "not here"})

            def do_POST(self) -> None:
                docker.pulled.append(self.path)
                self._answer(500, {"message": "no such host"})

            def do_DELETE(self) -> None:
                del docker.containers[self.path.partition("?")[0].split("/")[-1]]
                self._answer(204, None)

            def _answer(self, status: int, content: Any) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.url = f"tcp://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Docker:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def sam_commands(said: str) -> list[str]:
    return re.findall(r"^  (sam local .*)$", said, re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with functions that cargo's stand-in built for this machine, and an emulator started without Docker."""
    with new_checkout(tmp_path_factory.mktemp("built")) as built:
        (built.folder / "machine").write_text({"x86_64": X86_64, "arm64": ARM64}[template.ARCHITECTURE])
        (built.folder / ".tools" / "build").unlink()
        (built.folder / ".tools" / "build").mkdir()
        (built.folder / ".tools" / "build" / "bin").symlink_to(built.folder / "stand-in")
        built.make("local-aws-build")
        built.make(f"local-aws PORT={built.port}")
        yield built


def test_it_builds_for_this_machine_whatever_the_deployment_has(built: Checkout) -> None:
    asked_for = (built.folder / "built.log").read_text().splitlines()

    assert len(asked_for) == len(template.binaries(template.original()))
    assert {"--arm64" in line for line in asked_for} == {template.ARCHITECTURE == "arm64"}


def test_it_does_not_build_while_a_deployment_uses_the_folder(built: Checkout) -> None:
    with (built.folder / ".aws-sam" / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert built.refused("local-aws-build") == "`make deploy` is at work in this folder; wait until it has ended."


def test_with_docker_sam_local_gets_a_template_that_names_the_emulator(built: Checkout, tmp_path: Path) -> None:
    with Docker(has_image=True) as docker, new_checkout(tmp_path) as other:
        shutil.copytree(built.folder / ".aws-sam", tmp_path / ".aws-sam")
        said = other.make(f"local-aws PORT={other.port}", docker.url)

        build = tmp_path / ".aws-sam" / "build"
        made = yaml.safe_load((build / "template.yaml").read_text())
        local = yaml.safe_load((build / "local.yaml").read_text())
        values = json.loads((other.state / "env.json").read_text())
        other.make("local-aws-down", docker.url)

    assert len(sam_commands(said)) == 4 and not docker.pulled
    page = (EVENTS / "README.md").read_text()
    for command in re.findall(r"^  (\S.*?)(?:  # .*)?$", said, re.MULTILINE):
        assert f"$ {command}\n" in page, "events/README.md shows what each command prints"
    endpoint = f"http://host.docker.internal:{other.port}"
    declared = local["Globals"]["Function"]["Environment"]["Variables"]
    assert declared["AWS_ENDPOINT_URL"] == endpoint
    assert local["Globals"]["Function"]["Architectures"] == [template.ARCHITECTURE]
    assert local["Resources"] == made["Resources"]
    for name, variables in values.items():
        # SAM leaves out a value for a variable that the template does not declare.
        assert set(variables) <= {*declared, *local["Resources"][name]["Properties"]["Environment"]["Variables"]}
        # The terminal's own variables would replace those of the template, but not these.
        assert variables["AWS_ENDPOINT_URL"] == endpoint
    assert not (build / "local.yaml").exists(), "it would name an emulator that is gone"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole network 127.0.0.0/8")
def test_the_emulator_listens_where_containers_reach_this_machine_and_nowhere_else(tmp_path: Path) -> None:
    with Docker(has_image=True, gateway="127.0.0.2") as docker, new_checkout(tmp_path) as other:
        other.make(f"local-aws PORT={other.port}", docker.url)

        with urllib.request.urlopen(f"http://127.0.0.2:{other.port}/_ministack/health", timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.3", other.port), timeout=10)


def test_containers_that_a_killed_sam_local_left_behind_are_removed(tmp_path: Path) -> None:
    with Docker(has_image=True) as docker:
        ours = tmp_path / ".aws-sam" / "build" / "MachnetFunction"
        for name, source in [("ours", ours), ("another", Path("/elsewhere"))]:
            docker.containers[name] = {"Id": name, "Mounts": [{"Source": str(source), "Destination": "/var/task"}]}
        said = Checkout(tmp_path).make("local-aws-down", docker.url)

    assert said.splitlines() == [
        "No emulator was running.",
        "`sam local` had left containers behind; they are removed: 1.",
    ]
    assert list(docker.containers) == ["another"]


def test_an_emulator_that_containers_cannot_reach_is_named(built: Checkout) -> None:
    with Docker(has_image=True) as docker:
        said = built.make("local-aws", docker.url)

    assert "  The emulator was started before Docker, and containers do not reach it; run `make local" in said
    assert not sam_commands(said)


def test_an_image_that_cannot_be_pulled_is_named(built: Checkout) -> None:
    image = f"public.ecr.aws/lambda/provided:al2023-{template.ARCHITECTURE}"
    with Docker(has_image=False) as docker:
        said = built.make("local-aws", docker.url)

    assert len(docker.pulled) == 1
    assert f"`sam local` needs the image {image}, which cannot be pulled (no such host); once `docker pull`" in said
    assert not sam_commands(said)


def test_functions_for_another_machine_are_named(built: Checkout) -> None:
    binary = built.folder / ".aws-sam" / "build" / "ProcessorFunction" / "bootstrap"
    genuine = binary.read_bytes()
    other = {"x86_64": "arm64", "arm64": "x86_64"}[template.ARCHITECTURE]
    binary.write_bytes(genuine[:18] + {"x86_64": b"\x3e\0", "arm64": b"\xb7\0"}[other])
    try:
        said = built.make("local-aws")
    finally:
        binary.write_bytes(genuine)

    assert (
        f"  ProcessorFunction is built for {other}, and this machine is {template.ARCHITECTURE}; "
        "run `make local-aws-build`" in said
    )
