"""Each sample in events/ through the real binary, under Lambda's own runtime interface emulator.

The emulator is the program that the official Lambda base images start; it is taken from the SAM CLI's package.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import registered
from confidential import CLIENT_SECRET, PATH_SECRET, PRIVATE_KEY, SIGNING_SECRET, confidential
from senders import outcomes
from stack import template
from stack.emulator import CREDENTIALS, REGION, free_port
from stack.process_group import ProcessGroup
from stack.stack import BINARIES, SAM, Stack
from stack.wait import wait_until

EVENTS = template.ROOT / "events"
FUNCTIONS = ["accredit", "machnet", "nurturecloud", "sterling", "sterling-token", "processor"]
SECRETS = {
    "accredit": "accredit-secret",
    "machnet": "machnet-secret",
    "nurturecloud": "nurturecloud-secret",
    "sterling": "sterling-verification",
    "sterling-token": "sterling-authority",
}


# Every sample but those of other functions is a delivery; it begins with its provider's name.
DELIVERIES = sorted(file.stem for file in EVENTS.glob("*.json") if file.stem not in {"processor", "sterling-token"})


def test_every_function_has_a_sample() -> None:
    assert {sample.split("-")[0] for sample in DELIVERIES} | {"processor", "sterling-token"} == set(FUNCTIONS)


def sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def runtime_interface_emulator() -> Path:
    name = {"x86_64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}[template.ARCHITECTURE]
    [path] = SAM.parents[1].glob(f"lib/python3*/site-packages/samcli/local/rapid/{name}")
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return path


@contextlib.contextmanager
def running(binary: str, environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Runs a function's binary and yields the URL that invokes it."""
    port, api_port = free_port(), free_port()
    limits = {
        "AWS_LAMBDA_FUNCTION_NAME": binary,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "15",
    }
    with (folder / f"{binary}.log").open("wb") as log:
        process = ProcessGroup(
            [
                *(runtime_interface_emulator(), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api_port}", BINARIES / binary),
            ],
            env={"PATH": os.environ["PATH"], **limits, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    finally:
        process.kill()


def invoke(url: str, event: bytes) -> Any:
    def attempt() -> Any:
        with contextlib.suppress(ConnectionError, urllib.error.URLError):
            with urllib.request.urlopen(urllib.request.Request(url, event), timeout=30) as answer:
                return answer.read()
        return None

    return json.loads(wait_until(attempt, what="the runtime interface emulator's start"))


@pytest.fixture(scope="module")
def environments(stack: Stack) -> dict[str, dict[str, str]]:
    """Each function's settings in the stack, but for secrets of their own, so that the samples' test keys stay apart."""
    client = stack.client("lambda")
    secrets = stack.client("secretsmanager")
    shared = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{stack.proxy.port}", **CREDENTIALS}
    environments = {}
    register_the_samples_secrets()
    for name in FUNCTIONS:
        function = client.get_function_configuration(FunctionName=stack.function_name(name))
        environments[name] = function["Environment"]["Variables"] | shared
        if name in SECRETS:
            value = (EVENTS / "keys" / f"{SECRETS[name]}.json").read_text()
            environments[name]["SECRET_ID"] = secrets.create_secret(Name=f"samples-{name}", SecretString=value)["ARN"]
    return environments


def register_the_samples_secrets() -> None:
    """They are public, but these runs must not reveal them either."""
    keys = EVENTS / "keys"
    [machnet] = json.loads((keys / "machnet-secret.json").read_text())["keys"]
    confidential(machnet["secret"], SIGNING_SECRET)
    confidential((keys / "nurturecloud-path-secret").read_text().strip(), PATH_SECRET)
    confidential(json.loads((keys / "sterling-client.json").read_text())["client_secret"], CLIENT_SECRET)
    for key in json.loads((keys / "sterling-authority.json").read_text())["keys"]:
        confidential(key["private_key"], PRIVATE_KEY)
    registered(sample("sterling")["headers"]["authorization"])


@pytest.mark.parametrize("name", DELIVERIES)
def test_the_sample_request_is_accepted_and_stored(
    stack: Stack, environments: dict[str, dict[str, str]], tmp_path: Path, name: str
) -> None:
    provider = name.split("-")[0]
    with running(provider, environments[provider], tmp_path) as url:
        answer = invoke(url, (EVENTS / f"{name}.json").read_bytes())

    assert answer["statusCode"] == 200, answer
    delivery_id = json.loads(answer["body"])["delivery_id"]
    [record] = stack.wait_for_record(delivery_id)
    assert record["provider"] == provider
    assert set(outcomes(record)) <= {"stored", "duplicate"}, "the processor's sample may hold the same events"


@pytest.mark.parametrize("provider", ["accredit", "machnet"])
def test_the_sample_request_with_another_body_is_refused(
    environments: dict[str, dict[str, str]], tmp_path: Path, provider: str
) -> None:
    event = sample(provider)
    event["body"] = event["body"] + " "

    with running(provider, environments[provider], tmp_path) as url:
        answer = invoke(url, json.dumps(event).encode())

    assert answer["statusCode"] == {"accredit": 400, "machnet": 409}[provider]


def test_the_sample_request_with_another_token_is_refused(
    environments: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    event = sample("sterling")
    header, claims, signature = event["headers"]["authorization"].split(".")
    event["headers"]["authorization"] = f"{header}.{claims}.{signature[::-1]}"

    with running("sterling", environments["sterling"], tmp_path) as url:
        answer = invoke(url, json.dumps(event).encode())

    assert answer["statusCode"] == 401


def test_the_sample_request_with_another_secret_is_refused(
    environments: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    secret = sample("nurturecloud")["pathParameters"]["secret"]
    other = (EVENTS / "nurturecloud.json").read_text().replace(secret, secret[::-1])

    with running("nurturecloud", environments["nurturecloud"], tmp_path) as url:
        answer = invoke(url, other.encode())

    assert answer["statusCode"] == 401


def test_the_sample_request_for_a_token_gets_one_that_the_webhook_takes(
    environments: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    delivery = sample("sterling")

    with running("sterling-token", environments["sterling-token"], tmp_path) as url:
        answer = invoke(url, (EVENTS / "sterling-token.json").read_bytes())
    assert answer["statusCode"] == 200, answer
    delivery["headers"]["authorization"] = f"Bearer {registered(json.loads(answer['body'])['access_token'])}"
    with running("sterling", environments["sterling"], tmp_path) as url:
        taken = invoke(url, json.dumps(delivery).encode())

    assert taken["statusCode"] == 200, taken


def test_the_sample_batch_is_processed(stack: Stack, environments: dict[str, dict[str, str]], tmp_path: Path) -> None:
    event = (EVENTS / "processor.json").read_bytes()

    with running("processor", environments["processor"], tmp_path) as url:
        answer = invoke(url, event)

    assert answer == {"batchItemFailures": []}
    for record in json.loads(event)["Records"]:
        delivery_id = json.loads(record["body"])["delivery_id"]
        records = [
            json.loads(line) for line in (tmp_path / "processor.log").read_text().splitlines() if line[:1] == "{"
        ]
        assert [each["delivery_id"] for each in records if each.get("delivery_id") == delivery_id] == [delivery_id]
