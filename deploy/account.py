"""The AWS account and region that a command works in."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
from problem import Problem
from settings import Settings

# A command asks for little, and somebody waits.
PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})


class Account:
    """Opened with the credentials of the environment. Region and profile may also be in samconfig.toml, as SAM reads them."""

    def __init__(self, settings: Settings) -> None:
        region = settings.option("region") or os.environ.get("AWS_REGION")
        profile = settings.option("profile")
        try:
            self._session = boto3.Session(profile_name=profile, region_name=region)
            found = self._session.get_credentials()
        except ProfileNotFound as error:
            raise Problem(f"{error}: set AWS_PROFILE to a profile of ~/.aws/config.") from None
        except BotoCoreError as error:
            raise Problem(f"The AWS credentials cannot be used ({error}): log in again.") from None
        if not self._session.region_name:
            # SAM would take us-east-1 without a word.
            raise Problem(
                "No AWS region is set: export AWS_DEFAULT_REGION with the region of the stack, for example "
                "AWS_DEFAULT_REGION=eu-central-1."
            )
        if found is None:
            raise Problem(
                "No AWS credentials were found: log in, for example with `aws sso login`, and set AWS_PROFILE, or export "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        self.region: str = self._session.region_name
        self.id = self._id()

    def _id(self) -> str:
        try:
            return self.client("sts").get_caller_identity()["Account"]
        except ClientError as error:
            raise Problem(f"AWS does not accept the credentials ({error.response['Error']['Code']}): log in again.") from None
        except BotoCoreError as error:
            raise Problem(f"AWS cannot be asked whose the credentials are: {error}") from None

    def client(self, service: str) -> Any:
        return self._session.client(service, config=PATIENCE)

    def described(self, name: str) -> dict[str, Any] | None:
        """The stack as CloudFormation describes it, or None if it is not there."""
        try:
            [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise Problem(f"AWS does not describe the stack {name}: {error.response['Error']['Message']}") from None
        except BotoCoreError as error:
            raise Problem(f"AWS cannot be asked for the stack {name}: {error}") from None
        return stack

    def stack(self, name: str) -> dict[str, Any] | None:
        """The stack, or None if it is not there, or holds nothing but a change set that was not carried out."""
        stack = self.described(name)
        return None if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack


def parameters(stack: dict[str, Any]) -> dict[str, str]:
    """The parameters with which a stack stands."""
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}


def outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
