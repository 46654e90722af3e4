from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stack.quick_start.sitecustomize  # noqa: F401
from authority import Authority, FreshTokens, put_authority
from bill import WEBHOOKS
from checkout import Checkout
from confidential import secrets_so_far
from nowcerts import LEASE, NowCerts
from nurturecloud_api import NurtureCloudApi
from operator_policies import POLICY, USER, Operator, Policy, policies_of_the_page
from publisher import declare
from secrecy import Report, in_the_emulator, logs, search
from senders import Sender
from signers import AccreditSigner, MachnetSigner, PathSecret
from simulated import SimulatedSigner
from stack.emulator import Emulator
from stack.rabbitmq import RabbitMq
from stack.stack import Stack


# The logs of every process of this run, and the secrets that it used.
LEFT_BEHIND = pytest.StashKey[list[Path]]()
SECRETS = pytest.StashKey[dict[str, str]]()
SECRECY = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write what is recorded of a run again, instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    # SIGTERM must also end the emulator and the functions.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.stash[LEFT_BEHIND], config.stash[SECRETS] = [], {}


# Several processes run the tests side by side, each with a stack of its own.


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process if files are named or tests selected; otherwise more than there are processors, since most tests wait."""
    names_files = any(not Path(argument).is_dir() for argument in config.args)
    narrows = any(config.getoption(option, False) for option in ["keyword", "markexpr", "lf", "stepwise"])
    # More than eight would only wait for the slowest file.
    return 0 if names_files or narrows else min(3 * len(os.sched_getaffinity(0)), 8)


# Started first, in this order. Each of the others takes less than twenty seconds.
SLOWEST_FILES = [
    "test_nowcerts_cut_off.py",
    "test_nowcerts_failures.py",
    "test_operating_permissions.py",
    "test_sterling.py",
    "test_deploy.py",
    "test_nowcerts_broker_away.py",
    "test_publisher_stack.py",
    "test_nowcerts.py",
    "test_operator_permissions.py",
    "test_dead_letters_command.py",
    "test_nurturecloud.py",
    "test_stack_commands.py",
    "test_failures.py",
    "test_seven_requests.py",
    "test_recordings.py",
    "test_rotation.py",
    "test_deleted_stacks.py",
    "test_delivery_records.py",
    "test_local_aws.py",
    "test_resync.py",
    "test_erase_and_replay.py",
    "test_cost.py",
    "test_template_check.py",
    "test_examples.py",
    "test_next_steps.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: index for index, name in enumerate(SLOWEST_FILES)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_testnodedown(node: Any, error: object) -> None:
    """Collects what a worker reports at its end."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[LEFT_BEHIND] += [Path(file) for file in output.get("left_behind", [])]
    node.config.stash[SECRETS] |= output.get("secrets", {})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Searches the logs and stored data of all processes for every secret that any of them used."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_behind"] = [str(file) for file in config.stash[LEFT_BEHIND]]
        config.workeroutput["secrets"] = secrets_so_far()
        return
    report = search(sorted(config.stash[LEFT_BEHIND]), config.stash[SECRETS] | secrets_so_far())
    if report.files:
        config.stash[SECRECY] = report
    if report.found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        name = "the search for secrets"
        failed = pytest.TestReport(name, (name, None, name), {}, "failed", f"secrets were found: {report}", "teardown")
        config.hook.pytest_runtest_logreport(report=failed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if SECRECY in config.stash:
        report = config.stash[SECRECY]
        terminalreporter.section("secrets", red=bool(report.found))
        terminalreporter.write_line(str(report))


@pytest.fixture(scope="session", autouse=True)
def left_behind_at_the_end(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lists the logs to search once everything else has ended: the fixture that is set up first is torn down last."""
    yield
    request.config.stash[LEFT_BEHIND] += logs(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def record(pytestconfig: pytest.Config) -> bool:
    """Whether what the run does is recorded, instead of compared with what is recorded."""
    return bool(pytestconfig.getoption("record"))


# Providers that have no signer in Python.
SIMULATED = [provider for provider in WEBHOOKS if provider not in {"accredit", "machnet", "nurturecloud", "sterling"}]


@pytest.fixture(scope="session")
def machnet_signer() -> MachnetSigner:
    return MachnetSigner("machnet-test-secret-of-32-bytes!")


@pytest.fixture(scope="session")
def accredit_signer() -> AccreditSigner:
    return AccreditSigner()


@pytest.fixture(scope="session")
def path_secret() -> PathSecret:
    return PathSecret()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def nurturecloud_api() -> Iterator[NurtureCloudApi]:
    """NurtureCloud's Data API, which listens before the stack is deployed: its URL is a parameter."""
    api = NurtureCloudApi()
    yield api
    api.close()


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    machnet_signer: MachnetSigner,
    accredit_signer: AccreditSigner,
    path_secret: PathSecret,
    authority: Authority,
    nurturecloud_api: NurtureCloudApi,
) -> Iterator[Stack]:
    """The stack of template.yaml, deployed once for all tests of this process, with one active key per provider.

    At its end, the emulator's contents are kept for the search for secrets.
    """
    stack = Stack(tmp_path_factory.mktemp("stack"), nurturecloud_api.parameters)
    try:
        stack.put_keys("machnet", machnet_signer.key())
        stack.put_keys("accredit", accredit_signer.key())
        stack.put_keys("nurturecloud", path_secret.key())
        put_authority(stack, authority)
        for provider in SIMULATED:
            stack.put_keys(provider, SimulatedSigner(provider).key())
        yield stack
        request.config.stash[LEFT_BEHIND] += in_the_emulator(stack, tmp_path_factory.mktemp("secrecy") / "left")
    finally:
        stack.close()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account of its own, with nothing in it."""
    emulator = Emulator(tmp_path_factory.mktemp("account"))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, account: Emulator) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"), account)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """A real broker like NowCerts': our login may only read, and another one publishes."""
    rabbitmq = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield rabbitmq
    finally:
        rabbitmq.close()


@pytest.fixture
def nowcerts(stack: Stack, rabbitmq: RabbitMq, request: pytest.FixtureRequest) -> NowCerts:
    queue = f"{request.node.name[:80]}.{random.randrange(10**9)}"
    declare(rabbitmq, queue)
    # An outage of an earlier test may have left a pause.
    stack.client("dynamodb").delete_item(TableName=stack.outputs["EventsTableName"], Key=LEASE)
    return NowCerts(stack, rabbitmq, queue)


@pytest.fixture
def impatient_queue(stack: Stack) -> Iterator[int]:
    """A queue that dead-letters a message within seconds instead of more than an hour; after how many receives."""
    sqs, queue = stack.client("sqs"), stack.outputs["QueueUrl"]
    names = ["VisibilityTimeout", "RedrivePolicy"]
    patient = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    redrive = json.loads(patient["RedrivePolicy"]) | {"maxReceiveCount": 5}
    sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)}
    )
    yield redrive["maxReceiveCount"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=patient)


@pytest.fixture
def other_path_secrets(stack: Stack, path_secret: PathSecret) -> Iterator[None]:
    """Allows a test to change the active secrets; restores them afterwards."""
    stack.restart("nurturecloud")
    yield
    stack.put_keys("nurturecloud", path_secret.key())
    stack.restart("nurturecloud")


@pytest.fixture
def machnet(stack: Stack, machnet_signer: MachnetSigner) -> Sender:
    return Sender(stack, "machnet", machnet_signer)


@pytest.fixture
def accredit(stack: Stack, accredit_signer: AccreditSigner) -> Sender:
    return Sender(stack, "accredit", accredit_signer)


@pytest.fixture
def nurturecloud(stack: Stack, path_secret: PathSecret) -> Sender:
    return Sender(stack, "nurturecloud", path_secret)


@pytest.fixture
def sterling(stack: Stack, authority: Authority) -> Sender:
    return Sender(stack, "sterling", FreshTokens(authority))


@pytest.fixture
def sender_of(stack: Stack, request: pytest.FixtureRequest) -> Callable[[str], Sender]:
    """The sender of a provider, by its name."""

    def sender(provider: str) -> Sender:
        if provider in SIMULATED:
            return Sender(stack, provider, SimulatedSigner(provider))
        return request.getfixturevalue(provider)

    return sender


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Iterator[Operator]:
    iam = stack.client("iam")
    iam.create_user(UserName=USER)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    yield Operator(stack, {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})
    iam.delete_user_policy(UserName=USER, PolicyName=POLICY)
    iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=USER)


@pytest.fixture(scope="module")
def policies(stack: Stack) -> list[Policy]:
    """The policies of docs/operator-permissions.md, for reading and for operating."""
    return policies_of_the_page(stack)
