from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from authority import Authority, FreshTokens, put_authority
from senders import Sender
from signers import AccreditSigner, MachnetSigner
from stack.rabbitmq import RabbitMq
from stack.stack import Stack


def pytest_configure() -> None:
    # Being told to stop ends the emulator and the functions as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def machnet_signer() -> MachnetSigner:
    return MachnetSigner("machnet-test-secret-of-32-bytes!")


@pytest.fixture(scope="session")
def accredit_signer() -> AccreditSigner:
    return AccreditSigner()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    machnet_signer: MachnetSigner,
    accredit_signer: AccreditSigner,
    authority: Authority,
) -> Iterator[Stack]:
    """The stack of template.yaml, deployed once for all tests, with one active key per provider."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.put_keys("machnet", machnet_signer.key())
        stack.put_keys("accredit", accredit_signer.key())
        put_authority(stack, authority)
        yield stack
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
def machnet(stack: Stack, machnet_signer: MachnetSigner) -> Sender:
    return Sender(stack, "machnet", machnet_signer)


@pytest.fixture
def accredit(stack: Stack, accredit_signer: AccreditSigner) -> Sender:
    return Sender(stack, "accredit", accredit_signer)


@pytest.fixture
def sterling(stack: Stack, authority: Authority) -> Sender:
    return Sender(stack, "sterling", FreshTokens(authority))
