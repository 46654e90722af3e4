from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from authority import Authority, FreshTokens, put_authority
from confidential import secrets_so_far
from nurturecloud_api import NurtureCloudApi
from secrecy import Report, left_behind, search
from senders import Sender
from signers import AccreditSigner, MachnetSigner, PathSecret
from stack.rabbitmq import RabbitMq
from stack.stack import Stack


SECRECY = pytest.StashKey[Report]()


def pytest_configure() -> None:
    # Being told to stop ends the emulator and the functions as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if SECRECY in config.stash:
        terminalreporter.section("secrets")
        terminalreporter.write_line(str(config.stash[SECRECY]))


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
    """The stack of template.yaml, deployed once for all tests, with one active key per provider.

    At the end everything that the run has left behind is searched for the secrets that it used.
    """
    stack = Stack(tmp_path_factory.mktemp("stack"), nurturecloud_api.parameters)
    try:
        stack.put_keys("machnet", machnet_signer.key())
        stack.put_keys("accredit", accredit_signer.key())
        stack.put_keys("nurturecloud", path_secret.key())
        put_authority(stack, authority)
        yield stack
        files = left_behind(stack, tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("secrecy") / "left")
        report = search(files, secrets_so_far())
        request.config.stash[SECRECY] = report
        assert report.found == []
    finally:
        stack.close()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """A real broker, as NowCerts' would be: a login that may only read, and somebody else who publishes."""
    rabbitmq = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield rabbitmq
    finally:
        rabbitmq.close()


@pytest.fixture
def impatient_queue(stack: Stack) -> Iterator[None]:
    """A queue that gives up within seconds instead of a quarter of an hour."""
    sqs, queue = stack.client("sqs"), stack.outputs["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    yield
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "180"})


@pytest.fixture
def other_path_secrets(stack: Stack, path_secret: PathSecret) -> Iterator[None]:
    """The list of active secrets may be changed; afterwards it is that of the other tests again."""
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
