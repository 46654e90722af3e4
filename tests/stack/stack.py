"""The deployed stack, as a provider and as an operator see it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from . import template
from .emulator import CREDENTIALS, REGION, Emulator, free_port
from .proxy import FaultProxy
from .wait import wait_until

BINARIES = Path(os.environ.get("CARGO_TARGET_DIR", template.ROOT / "target")) / "debug"
SAM = Path(os.environ.get("SAM_CLI", template.ROOT / ".tools" / "sam" / "bin" / "sam"))
# On `PYTHONPATH`, it makes the start of SAM quicker.
QUICK_START = str(Path(__file__).with_name("quick_start"))
STACK_NAME = "webhook-intake-test"

Item = dict[str, Any]
Line = dict[str, Any]
# A metric's name and dimensions.
Metric = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Answer:
    """The answer that a provider receives."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def problem(self) -> dict[str, Any]:
        """The problem details of a rejection."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        return problem


class FunctionError(Exception):
    """The error with which an invocation failed."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content["errorMessage"])
        self.type: str = content["errorType"]


class ReadLog:
    """The JSON lines of a log, each read once."""

    def __init__(self) -> None:
        self._size = 0
        self._lines: list[Line] = []

    def grown(self, file: Path) -> list[Line]:
        """All lines so far."""
        with file.open("rb") as log:
            log.seek(self._size)
            # The last line may be incomplete.
            whole, end, _ = log.read().rpartition(b"\n")
        self._size += len(whole) + len(end)
        self._lines += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return self._lines


class Stack:
    """A deployment of its own, with these parameters beside those of every test stack."""

    def __init__(self, folder: Path, parameters: dict[str, str]) -> None:
        self.folder = folder
        self.parameters = template.PARAMETERS | parameters
        self._read: dict[Path, ReadLog] = {}
        self._clients: dict[str, Any] = {}
        self._logs = folder / "logs"
        self._logs.mkdir()
        port = free_port()
        self.proxy = FaultProxy(target_port=port, log=folder / "requests-of-the-functions.log")
        self._emulator = Emulator(folder, port, f"http://127.0.0.1:{self.proxy.port}")
        try:
            self._deploy()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._emulator.stop()
        self.proxy.close()

    # Deployment

    def _deploy(self) -> None:
        original = template.original()
        binaries = template.binaries(original)
        self._functions = {binary: name for name, binary in binaries.items()}
        code_folders = {name: self._code_folder(binary) for name, binary in binaries.items()}
        self.template = template.derive(code_folders)
        file = self.folder / "template.json"
        file.write_text(json.dumps(self.template))
        self.client("s3").create_bucket(Bucket="artifacts")
        self._sam_deploy(file)

        stack = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        resources = self.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        self.resources = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        translated = template.translate(self.template)
        self._create_routes(translated)
        self._bound_processor(translated)
        self._allow_batches()

    def _code_folder(self, binary: str) -> Path:
        """A folder to be packaged: a `bootstrap` that becomes the binary.

        Its output goes to one file per process, which keeps lines whole and is named after the process's id.
        """
        executable = BINARIES / binary
        if not executable.is_file():
            raise RuntimeError(f"{executable} is missing; run `cargo test --workspace --no-run`")
        folder = self.folder / "code" / binary
        folder.mkdir(parents=True)
        # A copy of its own, in case somebody builds while the tests run.
        copy = self.folder / "bin" / binary
        copy.parent.mkdir(exist_ok=True)
        shutil.copy2(executable, copy)
        bootstrap = folder / "bootstrap"
        # The name by which its calls are told apart.
        environment = f"AWS_SDK_UA_APP_ID={binary}"
        bootstrap.write_text(f'#!/bin/sh\n{environment} exec "{copy}" >>"{self._logs}/{binary}.$$.log" 2>&1\n')
        bootstrap.chmod(0o755)
        return folder

    def _sam_deploy(self, file: Path) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": QUICK_START,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self._emulator.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "1",
            **CREDENTIALS,
        }
        overrides = [f"{name}={value}" for name, value in self.parameters.items()]
        command = [
            *(SAM, "deploy", "--template-file", file, "--stack-name", STACK_NAME, "--s3-bucket", "artifacts"),
            *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"),
            *("--parameter-overrides", *overrides),
        ]
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=240,
        )
        (self.folder / "sam-deploy.log").write_text(done.stdout + done.stderr)
        if done.returncode:
            raise RuntimeError(f"sam deploy failed:\n{done.stdout}\n{done.stderr}")

    def _create_routes(self, translated: template.Template) -> None:
        """Creates the routes that a real deployment makes of the API's `Body`, which the emulator ignores."""
        if "Api" not in self.resources:
            return
        api = self.client("apigatewayv2")
        self.api_id = self.resources["Api"]
        for route, function in template.routes(translated).items():
            if function not in self.resources:
                continue
            arn = self.client("lambda").get_function(FunctionName=self.resources[function])["Configuration"][
                "FunctionArn"
            ]
            integration = api.create_integration(
                ApiId=self.api_id,
                IntegrationType="AWS_PROXY",
                IntegrationMethod="POST",
                IntegrationUri=arn,
                PayloadFormatVersion="2.0",
            )
            api.create_route(ApiId=self.api_id, RouteKey=route, Target=f"integrations/{integration['IntegrationId']}")

    def _bound_processor(self, translated: template.Template) -> None:
        """Sets the mapping's concurrency again, as a number: the emulator keeps a parameter's value as text."""
        concurrency = translated["Parameters"]["ProcessorMaximumConcurrency"]["Default"]
        self.client("lambda").update_event_source_mapping(
            UUID=self.resources["ProcessorFunctionDeliveries"], ScalingConfig={"MaximumConcurrency": concurrency}
        )

    def _allow_batches(self) -> None:
        """Allows `SendMessageBatch` to who may send: the emulator asks for a permission of that name, which AWS doesn't know."""
        if "NowCertsRole" not in self.resources:
            return
        iam, role = self.client("iam"), self.resources["NowCertsRole"]
        [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in policy["Statement"]:
            if "sqs:SendMessage" in statement["Action"]:
                statement["Action"] = [*statement["Action"], "sqs:SendMessageBatch"]
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))

    # As a provider

    @property
    def url(self) -> str:
        """Where the API listens; a request must name `host`."""
        return self._emulator.endpoint

    @property
    def host(self) -> str:
        """The API's host name, which no resolver knows."""
        return f"{self.api_id}.execute-api.localhost:{self._emulator.port}"

    def post(self, provider: str, body: bytes, headers: dict[str, str], path: str | None = None) -> Answer:
        return self.request("POST", path or f"/webhooks/{provider}", body, headers)

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._emulator.port, timeout=40)
        started = time.monotonic()
        try:
            connection.request(method, path, body, {**headers, "Host": self.host})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        lower = {name.lower(): value for name, value in response.getheaders()}
        with (self.folder / ("token-answers.log" if path == "/oauth/token" else "answers.log")).open("ab") as log:
            log.write(json.dumps([response.status, lower]).encode() + b"\n" + content + b"\n")
        return Answer(response.status, lower, content, time.monotonic() - started)

    @contextlib.contextmanager
    def emulator_away(self) -> Iterator[None]:
        """The emulator answers nobody inside the `with` block, and forgets nothing."""
        with self._emulator.stopped():
            yield

    # As an operator

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: str) -> Any:
        client = boto3.client(
            service,
            endpoint_url=self._emulator.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        client.meta.events.register("before-send.*", _over_tls)
        return client

    def put_keys(self, provider: str, *keys: dict[str, str]) -> None:
        """Replaces the provider's list of active keys."""
        self.put_secret(f"{self._functions[provider].removesuffix('Function')}SecretArn", {"keys": list(keys)})

    def put_secret(self, output: str, document: dict[str, Any]) -> None:
        """Replaces the value of the secret that an output names."""
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs[output], SecretString=json.dumps(document)
        )

    @property
    def binaries(self) -> list[str]:
        return sorted(self._functions)

    def function_name(self, binary: str) -> str:
        """The deployed function of a binary, such as `sterling-token`."""
        return self.resources[self._functions[binary]]

    def invoke(self, binary: str, payload: Any) -> Any:
        """The answer of a directly invoked function; its failure raises `FunctionError`."""
        answer = self.client("lambda").invoke(
            FunctionName=self.function_name(binary), Payload=json.dumps(payload).encode()
        )
        content = answer["Payload"].read()
        with (self.folder / "answers.log").open("ab") as log:
            log.write(content + b"\n")
        if "FunctionError" in answer:
            raise FunctionError(json.loads(content))
        return json.loads(content)

    def items(self, **attributes: Any) -> list[Item]:
        """The items of the events table that have these attributes, but for the records of deliveries. A name may be a path, as
        `attributes.queue`."""
        return [item for item in self._scan("EventsTableName", attributes) if item.get("kind") != "delivery"]

    def delivery_record(self, delivery_id: str) -> Item | None:
        """What the processor keeps of a delivery."""
        return next(iter(self._scan("EventsTableName", {"kind": "delivery", "delivery_id": delivery_id})), None)

    def delivery_records(self) -> list[Item]:
        """What the processor keeps of all deliveries."""
        return self._scan("EventsTableName", {"kind": "delivery"})

    def body_of(self, record: Item) -> bytes:
        """The body that a delivery's record has, or refers to."""
        if "body" in record:
            return record["body"].encode()
        if "body_base64" in record:
            return base64.b64decode(record["body_base64"], validate=True)
        if "body_key" in record:
            return self.object(record["body_key"])
        [item] = self.items(**(record.get("body_of_event") or record["body_of_quarantine"]))
        if "body_of_event" in record:
            return item["data"].encode() if "data" in item else self.object(item["data_key"])
        [(form, content)] = json.loads(item["document"])["body"].items()
        if form == "payload":
            return self.object(content["key"])
        return content.encode() if form == "text" else base64.b64decode(content, validate=True)

    def entities(self, **attributes: Any) -> list[Item]:
        """The items of the entities table that have these attributes."""
        return self._scan("EntitiesTableName", attributes)

    def _scan(self, table: str, attributes: dict[str, Any]) -> list[Item]:
        serialize, deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize
        wanted: dict[str, Any] = {}
        if attributes:
            paths = {name: name.split(".") for name in attributes}
            wanted = {
                "FilterExpression": " AND ".join(
                    ".".join(f"#{part}" for part in path) + f" = :{'_'.join(path)}" for path in paths.values()
                ),
                "ExpressionAttributeNames": {f"#{part}": part for path in paths.values() for part in path},
                "ExpressionAttributeValues": {
                    f":{'_'.join(path)}": serialize(attributes[name]) for name, path in paths.items()
                },
            }
        pages = self.client("dynamodb").get_paginator("scan")
        return [
            {name: deserialize(value) for name, value in raw.items()}
            for page in pages.paginate(TableName=self.outputs[table], ConsistentRead=True, **wanted)
            for raw in page["Items"]
        ]

    def events(self, **attributes: Any) -> list[Item]:
        """The items that record events: no second names, no quarantine."""
        return [item for item in self.items(**attributes) if item["kind"] in {"event", "conflict"}]

    def objects(self, prefix: str) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2")
        answers = pages.paginate(Bucket=self.outputs["BucketName"], Prefix=prefix)
        return [entry["Key"] for answer in answers for entry in answer.get("Contents", [])]

    def object(self, key: str) -> bytes:
        return self.client("s3").get_object(Bucket=self.outputs["BucketName"], Key=key)["Body"].read()

    def messages(self, queue: str = "QueueUrl") -> int:
        """How many messages are in a queue, in flight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client("sqs").get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def peek(self, queue: str) -> list[str]:
        """The messages that wait in a queue, which stay there."""
        sqs, url = self.client("sqs"), self.outputs[queue]
        found: dict[str, str] = {}
        while answer := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=5).get("Messages"):
            found |= {message["MessageId"]: message["Body"] for message in answer}
        return list(found.values())

    def send_message(self, text: str) -> None:
        self.client("sqs").send_message(QueueUrl=self.outputs["QueueUrl"], MessageBody=text)

    @contextlib.contextmanager
    def held_queue(self) -> Iterator[None]:
        """Keeps the processor from the queue inside the `with` block."""
        client = self.client("lambda")
        mapping = self.resources["ProcessorFunctionDeliveries"]
        client.update_event_source_mapping(UUID=mapping, Enabled=False)
        try:
            wait_until(lambda: client.get_event_source_mapping(UUID=mapping)["State"] == "Disabled")
            yield
        finally:
            client.update_event_source_mapping(UUID=mapping, Enabled=True)

    def take_messages(self, count: int) -> list[str]:
        """Takes `count` messages off the queue, which must be held."""
        sqs, queue = self.client("sqs"), self.outputs["QueueUrl"]
        taken: list[str] = []

        def enough() -> bool:
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                taken.append(message["Body"])
            return len(taken) >= count

        wait_until(enough, what=f"{count} messages")
        assert len(taken) == count
        return taken
    def run_to_its_end(self, binary: str) -> None:
        """Runs a function without a payload to its end, however it ends."""
        self.client("lambda").invoke(FunctionName=self.function_name(binary), Payload=b"{}")

    def kill(self, binary: str) -> None:
        """Ends a function's processes as a crash would, and waits for their end: one that is about to die may be given a
        request."""
        for file in self._logs.glob(f"{binary}.*.log"):
            pid = int(file.name.split(".")[1])
            if self._runs(pid, binary):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: not self._runs(pid, binary), what=f"the end of process {pid}")

    def _runs(self, pid: int, binary: str) -> bool:
        try:
            return Path(f"/proc/{pid}/exe").samefile(self.folder / "bin" / binary)
        except (FileNotFoundError, ProcessLookupError):
            return False

    # Logs

    def log_files(self, binary: str) -> list[Path]:
        """What each process of a function writes to."""
        return sorted(self._logs.glob(f"{binary}.*.log"))

    def output(self, binary: str) -> str:
        """All that a function's processes have written."""
        return "".join(file.read_text() for file in self.log_files(binary))

    def processes(self, binary: str, text: str = "") -> int:
        """How many processes of a function were started so far; with a text, how many have written that."""
        return sum(text in file.read_text() for file in self._logs.glob(f"{binary}.*.log"))

    def lines(self, binary: str, message: str | None = None) -> list[Line]:
        """A function's JSON log lines, oldest first; counters have no time of that form and come before."""
        lines = [line for line in self._json_lines(binary) if message in (None, line.get("message"))]
        return sorted(lines, key=lambda line: line.get("timestamp", ""))

    def _json_lines(self, binary: str) -> Iterator[Line]:
        for file in self._logs.glob(f"{binary}.*.log"):
            log = self._read.setdefault(file, ReadLog())
            yield from log.grown(file)

    def counters(self, binary: str) -> dict[Metric, int]:
        """The sums of a function's counters, by name and dimensions."""
        sums: dict[Metric, int] = {}
        for metric, values in self._metrics(binary):
            sums[metric] = sums.get(metric, 0) + sum(values)
        return sums

    def data_points(self, binary: str) -> Counter[Metric]:
        """How many values a function has sent of each metric, zeros among them."""
        return Counter(metric for metric, values in self._metrics(binary) for _ in values)

    def _metrics(self, binary: str) -> Iterator[tuple[Metric, list[int]]]:
        """The values in a function's lines of the embedded metric format."""
        for line in self._json_lines(binary):
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                for dimensions in directive["Dimensions"]:
                    labels = tuple(sorted((name, line[name]) for name in dimensions))
                    for metric in directive["Metrics"]:
                        value = line[metric["Name"]]
                        yield (metric["Name"], labels), value if isinstance(value, list) else [value]

    def called(self, binary: str, since: int = 0) -> set[tuple[str, str]]:
        """The IAM actions that a function's calls to AWS needed, each with the logical id of what it was on; without the
        first calls of all, if a number is given."""
        return {
            (action, self._logical_id(resource))
            for call in self.proxy.calls[since:]
            if call.caller == binary
            for action, resource in call.needed
        }

    def _logical_id(self, resource: str) -> str:
        """A resource of the stack by the name in a call, with what the name may have after it: an index, a folder."""
        names = {physical: name for name, physical in self.resources.items()}
        if resource in names:
            return names[resource]
        known, separator, rest = resource.partition("/")
        # The ARN of a secret ends with six characters after its name.
        known = known.rpartition(":secret:")[2].rpartition("-")[0] if ":secret:" in known else known
        return names.get(known, known) + separator + rest

    def deliveries(self, provider: str) -> list[Line]:
        """The intake's line of each delivery."""
        return self.lines(provider, "delivery")

    def records(self, delivery_id: str | None = None) -> list[Line]:
        """The processor's line of each processed record, oldest first."""
        lines = self.lines("processor", "record processed")
        return [line for line in lines if delivery_id in (None, line["delivery_id"])]

    def records_outcomes(self) -> list[str]:
        """Every outcome that the processor has reported, one for each event of each record."""
        return [
            outcome.split("=")[1] for record in self.records() for outcome in record["outcomes"].split(",") if outcome
        ]

    def wait_for_record(self, delivery_id: str, count: int = 1) -> list[Line]:
        def enough() -> list[Line]:
            records = self.records(delivery_id)
            return records if len(records) >= count else []

        return wait_until(enough, what=f"the processing of delivery {delivery_id}")

    @contextlib.contextmanager
    def settings(self, binary: str, **variables: str) -> Iterator[None]:
        """Changes a function's environment variables inside the `with` block."""
        client = self.client("lambda")
        name = self.function_name(binary)
        environment = client.get_function_configuration(FunctionName=name)["Environment"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": environment["Variables"] | variables}
        )
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=name, Environment=environment)

    @contextlib.contextmanager
    def without_permission(self, role: str, action: str | list[str], resource: str = "") -> Iterator[None]:
        """Takes the statement that allows just this, an action or some on a resource, out of a role's policy inside the `with`
        block."""
        iam = self.client("iam")
        role_name = self.resources[role]
        [policy_name] = iam.list_role_policies(RoleName=role_name)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=role_name, PolicyName=policy_name)["PolicyDocument"]
        name = self.resources[resource] if resource else ""
        statements = [
            statement
            for statement in policy["Statement"]
            if statement["Action"] != action or not json.dumps(statement["Resource"]).endswith(f'{name}"')
        ]
        assert len(statements) == len(policy["Statement"]) - 1

        def put(document: dict[str, Any]) -> None:
            iam.put_role_policy(RoleName=role_name, PolicyName=policy_name, PolicyDocument=json.dumps(document))

        put(policy | {"Statement": statements})
        try:
            yield
        finally:
            put(policy)

    def restart(self, binary: str) -> None:
        """Ends a function's processes, so that the next request meets a cold start."""
        self.kill(binary)
        self.client("lambda").update_function_configuration(
            FunctionName=self.function_name(binary), Description=f"restarted {time.time()}"
        )


def _over_tls(request: AWSRequest, **_: Any) -> None:
    """Stands for the TLS that the stack's bucket policy asks for."""
    request.headers["X-Forwarded-Proto"] = "https"
