"""The drain's adapter against a real RabbitMQ: the Rust tests that need one."""

from __future__ import annotations

import os
import subprocess

from stack import template
from stack.rabbitmq import RabbitMq


def test_the_adapter_against_a_real_rabbitmq(rabbitmq: RabbitMq) -> None:
    environment = os.environ | {
        "RABBITMQ_TEST_PORT": str(rabbitmq.port),
        "RABBITMQ_TEST_TLS_PORT": str(rabbitmq.tls_port),
        "RABBITMQ_TEST_PASSWORD": rabbitmq.password,
        "SSL_CERT_FILE": str(rabbitmq.roots),
    }
    # With the whole workspace chosen, what `cargo test --workspace` has built fits.
    command = ["cargo", "test", "--locked", "--workspace", "--test", "rabbitmq", "--", "--ignored"]
    done = subprocess.run(command, cwd=template.ROOT, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 passed" not in done.stdout
