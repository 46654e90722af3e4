"""`keys` on the deployed stack: from a new stack's placeholder to a key that is in use, replaced and taken out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import operator_commands
import pytest
from authority import Authority, Client, put_authority, sterling_batch, sterling_delivery, sterling_event
from confidential import CLIENT_SECRET, PATH_SECRET, SIGNING_SECRET, confidential
from nowcerts import NowCerts
from oauth_client import OAuthClient, token_request
from senders import Sender, new_event, new_id
from signers import AccreditSigner, MachnetSigner, PathSecret
from stack.rabbitmq import RabbitMq
from stack.stack import STACK_NAME, Stack

SECRETS = {
    "accredit": ["AccreditSecret"],
    "machnet": ["MachnetSecret"],
    "nowcerts": ["NowCertsSecret"],
    "nurturecloud": ["NurtureCloudSecret"],
    "sterling": ["SterlingAuthoritySecret", "SterlingVerificationSecret"],
}


class Keys:
    """The command for the keys of one provider."""

    def __init__(self, stack: Stack, provider: str) -> None:
        self.stack = stack
        self.provider = provider

    def run(self, action: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        call = ["keys", action, self.provider, *arguments, "--stack", STACK_NAME]
        return operator_commands.run(self.stack, *call, input=text)

    def must(self, action: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        done = self.run(action, *arguments, text=text)
        assert done.returncode == 0, done.stderr
        # What counts within seconds counts at once for a function that starts.
        for function in {"sterling": ["sterling", "sterling-token"], "nowcerts": []}.get(self.provider, [self.provider]):
            self.stack.restart(function)
        return done

    def list(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.must("list", "--since", "1h", "--json").stdout.splitlines()]

    def check(self) -> str:
        return self.must("check").stdout

    def documents(self) -> list[str]:
        client = self.stack.client("secretsmanager")
        arns = [self.stack.outputs[f"{secret}Arn"] for secret in SECRETS[self.provider]]
        return [client.get_secret_value(SecretId=arn)["SecretString"] for arn in arns]


@pytest.fixture
def keys(stack: Stack) -> Iterator[Callable[[str], Keys]]:
    """Makes the command for a provider whose secrets are as a new stack has them; afterwards they are as they were."""
    before: dict[str, str] = {}
    client = stack.client("secretsmanager")

    def of(provider: str) -> Keys:
        keys = Keys(stack, provider)
        for secret, text in zip(SECRETS[provider], keys.documents(), strict=True):
            before[secret] = text
            placeholder = stack.template["Resources"][secret]["Properties"]["SecretString"]
            client.put_secret_value(SecretId=stack.outputs[f"{secret}Arn"], SecretString=placeholder)
        return keys

    yield of
    for secret, text in before.items():
        client.put_secret_value(SecretId=stack.outputs[f"{secret}Arn"], SecretString=text)
    for function in ["accredit", "machnet", "nurturecloud", "sterling", "sterling-token"]:
        stack.restart(function)


def rotate(keys: Keys, sender: Sender, add: Callable[[], Any]) -> None:
    """One key is added to a new stack, then another, and the first one is taken out."""

    def statuses(*signers: Any) -> list[int]:
        return [sender.send(new_event(keys.provider), signer=signer).answer.status for signer in signers]

    unset = keys.run("check")
    assert (unset.returncode, "no key" in unset.stdout) == (1, True), unset

    old = add()
    sent, outcome = sender.deliver(new_event(keys.provider), signer=old)
    assert outcome == "stored"
    keys.check()
    [listed] = keys.list()
    assert (listed["account"], listed["key"]) == (sent.line["account"], sent.line["key_fingerprint"])
    assert listed["first_used"] == listed["last_used"] is not None

    new = add()
    assert statuses(old, new) == [200, 200]
    in_use = keys.run("remove", listed["key"])
    assert (in_use.returncode, "--yes" in in_use.stderr) == (1, True), in_use.stderr
    keys.must("remove", listed["key"], "--yes")
    refused, taken = statuses(old, new)
    assert (refused != 200, taken) == (True, 200)

    [left] = keys.list()
    last = keys.run("remove", left["key"], "--yes")
    assert (last.returncode, "--even-the-last" in last.stderr) == (1, True), last.stderr
    keys.must("remove", left["key"], "--yes", "--even-the-last")
    assert json.loads(keys.documents()[0]) == {"keys": []}


def test_accredits_public_key_is_taken_as_a_file_and_rotated(
    stack: Stack, accredit: Sender, keys: Callable[[str], Keys]
) -> None:
    command = keys("accredit")

    def add() -> AccreditSigner:
        signer = AccreditSigner()
        added = command.must("add", text=signer.key()["public_key"])
        assert stack.outputs["AccreditWebhookUrl"] in added.stdout
        return signer

    rotate(command, accredit, add)


def test_machnets_secret_is_made_or_given_and_rotated(
    stack: Stack, machnet: Sender, keys: Callable[[str], Keys]
) -> None:
    command = keys("machnet")
    given = ["a-secret-that-was-agreed-with-machnet"]

    def add() -> MachnetSigner:
        if given:
            secret = confidential(given.pop(), SIGNING_SECRET)
            added = command.must("add", text=f"{secret}\n")
            assert stack.outputs["MachnetWebhookUrl"] in added.stdout
        else:
            added = command.must("add", "--generate")
            secret = confidential(added.stdout.strip(), SIGNING_SECRET)
            assert stack.outputs["MachnetWebhookUrl"] in added.stderr
        assert secret not in added.stderr
        return MachnetSigner(secret)

    rotate(command, machnet, add)


def test_nurtureclouds_url_is_that_of_the_stack_and_rotated(
    stack: Stack, nurturecloud: Sender, keys: Callable[[str], Keys]
) -> None:
    command = keys("nurturecloud")

    def add() -> PathSecret:
        added = command.must("add")
        url = added.stdout.strip()
        secret = confidential(urlsplit(url).path.rpartition("/")[2], PATH_SECRET)
        assert url == stack.outputs["NurtureCloudWebhookUrl"].replace("<secret>", secret)
        assert secret not in added.stderr + "".join(command.documents())
        return PathSecret(secret=secret)

    rotate(command, nurturecloud, add)


def test_sterlings_client_is_made_for_the_urls_of_the_stack_and_its_secret_rotated(
    stack: Stack, sterling: Sender, keys: Callable[[str], Keys]
) -> None:
    command = keys("sterling")
    assert command.run("check").returncode == 1

    def add() -> Client:
        added = command.must("add", "ibm")
        assert stack.outputs["SterlingTokenUrl"] in added.stderr
        assert stack.outputs["SterlingWebhookUrl"] in added.stderr
        return Client("ibm", confidential(added.stdout.strip(), CLIENT_SECRET))

    def secrets() -> list[str]:
        return [key["key"] for key in command.list() if key["kind"].startswith("secret of ibm")]

    old = add()
    client = OAuthClient(stack, old)
    client.fetch_token()
    answer = client.post(sterling_delivery(sterling_batch(sterling_event(new_id()))))
    assert answer.status_code == 200
    assert sterling.outcome(answer.json()["delivery_id"]) == "stored"
    command.check()
    used = {key["kind"]: key["last_used"] is not None for key in command.list()}
    assert used == {"client, 1 secret": True, "secret of ibm, its newest": False, "signing key, Ed25519": True}

    [old_secret] = secrets()
    new = add()
    assert [token_request(stack, each).status for each in [old, new]] == [200, 200]
    command.must("remove", old_secret)
    assert [token_request(stack, each).status for each in [old, new]] == [401, 200]
    command.must("add", "tenant-2")
    in_use = command.run("remove", "ibm")
    assert (in_use.returncode, 'account "ibm" had a delivery at' in in_use.stderr) == (1, True), in_use.stderr
    command.must("remove", "ibm", "--yes")
    assert token_request(stack, new).status == 401
    assert client.post(b"{}").status_code == 401


def test_what_does_not_fit_is_found_and_derived_again(
    stack: Stack, authority: Authority, keys: Callable[[str], Keys]
) -> None:
    command = keys("sterling")
    put_authority(stack, authority)
    command.check()
    stack.put_secret("SterlingVerificationSecretArn", authority.verification() | {"clients": []})

    found = command.run("check")

    assert (found.returncode, "--repair" in found.stdout) == (1, True), found.stdout
    command.must("check", "--repair")
    assert json.loads(command.documents()[1]) == authority.verification()


def test_nowcerts_login_is_tried_and_drains(
    stack: Stack, nowcerts: NowCerts, rabbitmq: RabbitMq, keys: Callable[[str], Keys]
) -> None:
    command = keys("nowcerts")
    # This password holds a semicolon, so it does not go into a connection string.
    ids = nowcerts.publish(3)
    added = command.must("add", text=json.dumps(rabbitmq.secret() | {"queue": nowcerts.queue}))
    assert rabbitmq.password not in added.stdout + added.stderr

    tried = command.must("check", "--connect")
    nowcerts.drain()

    assert "accepts the login" in tried.stdout
    assert sorted(event["id"] for event in nowcerts.events()) == sorted(ids)
    [listed] = command.list()
    assert listed["last_used"] is not None
    wrong = json.dumps(rabbitmq.secret() | {"queue": nowcerts.queue, "password": "another password"})
    command.must("add", "--replace", text=wrong)
    refused = command.run("check", "--connect")
    assert (refused.returncode, "refuses the login" in refused.stdout) == (1, True), refused.stdout
    [listed] = command.list()
    command.must("remove", listed["key"], "--even-the-last")
    assert json.loads(command.documents()[0]) == {}


def test_the_permissions_of_the_page_are_enough_and_the_one_that_is_missing_is_named(
    stack: Stack, keys: Callable[[str], Keys]
) -> None:
    keys("machnet")
    iam, user = stack.client("iam"), "key-keeper"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def run(actions: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
        find = ["cloudformation:DescribeStacks", "cloudformation:ListStackResources"]
        uses = ["dynamodb:Query", "dynamodb:BatchGetItem"]
        allowed = [
            {"Effect": "Allow", "Action": find + uses, "Resource": "*"},
            {"Effect": "Allow", "Action": actions, "Resource": stack.outputs["MachnetSecretArn"]},
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        iam.put_user_policy(UserName=user, PolicyName="keys", PolicyDocument=policy)
        return operator_commands.run(stack, "keys", *arguments, "--stack", STACK_NAME, credentials=credentials)

    read, write = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
    add = ["add", "machnet", "--generate", "--json"]
    try:
        refused = run([read], *add)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert write in refused.stderr
        added = json.loads(run([read, write], *add).stdout)
        confidential(added["secret"], SIGNING_SECRET)
        assert added["key"] in run([read], "list", "machnet").stdout
        assert run([read], "check", "machnet").returncode == 0
        unread = run([write], "check", "machnet")
        assert (unread.returncode, read in unread.stderr) == (1, True), unread.stderr
        other = run([read], "check", "accredit")
        assert (other.returncode, read in other.stderr) == (1, True), other.stderr
    finally:
        iam.delete_user_policy(UserName=user, PolicyName="keys")
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName=user)


def test_all_keys_of_a_stack_are_listed_and_what_may_not_be_read_is_said(stack: Stack) -> None:
    listed = operator_commands.run(stack, "keys", "--since", "1h", "--stack", STACK_NAME, "--json")
    assert listed.returncode == 0, listed.stderr
    providers = {json.loads(line)["provider"] for line in listed.stdout.splitlines()}
    assert {"accredit", "machnet", "nurturecloud", "sterling"} <= providers
    missing = operator_commands.run(stack, "keys", "--stack", "no-such-stack")
    assert (missing.returncode, "there is no stack no-such-stack" in missing.stderr) == (1, True), missing.stderr
