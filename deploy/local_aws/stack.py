"""What the functions of template.yaml need of AWS, created in the emulator.

The functions' variables refer to resources, and these to others. Just that part of template.yaml is deployed, so there is no
second list of resources, and its outputs are the variables' values, so CloudFormation evaluates them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import WaiterError
from samcli.yamlhelper import yaml_parse

from places import EVENTS, TEMPLATE
from problem import Problem

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
STACK_NAME = "webhook-intake-local"

Template = dict[str, Any]
# The variables of each function, by its logical id.
Environments = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Function:
    """A function of the template."""

    binary: str
    condition: str | None
    # Values as the template has them.
    variables: dict[str, Any]


def template() -> Template:
    """template.yaml with its intrinsic functions in their long form."""
    return yaml_parse(TEMPLATE.read_text())


def functions(template: Template) -> dict[str, Function]:
    """The functions by logical id."""
    shared = dict(_variables(template.get("Globals", {}).get("Function", {})))
    # A file of Lambda's image, which this machine may not have.
    shared.pop("SSL_CERT_FILE", None)
    return {
        name: Function(
            binary=resource["Metadata"]["BuildProperties"]["Binary"],
            condition=resource.get("Condition"),
            variables=shared | _variables(resource["Properties"]),
        )
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _variables(properties: dict[str, Any]) -> dict[str, Any]:
    return properties.get("Environment", {}).get("Variables", {})


def without_functions(template: Template) -> Template:
    """The part of the template that the functions' variables refer to, with the variables' values as outputs."""
    outputs = {}
    for name, function in functions(template).items():
        for index, value in enumerate(function.variables.values()):
            condition = {"Condition": function.condition} if function.condition else {}
            outputs[_output(name, index)] = {"Value": value, **condition}
    resources = template["Resources"]
    needed: set[str] = set()
    reached = set(_references(outputs)) & set(resources)
    while reached - needed:
        needed |= reached
        reached = set(_references([resources[name] for name in needed])) & set(resources)
    kept = {section: template[section] for section in ["Parameters", "Mappings", "Conditions"] if section in template}
    return {
        "AWSTemplateFormatVersion": template["AWSTemplateFormatVersion"],
        **kept,
        "Resources": {name: resource for name, resource in resources.items() if name in needed},
        "Outputs": outputs,
    }


def _output(function: str, index: int) -> str:
    return f"{function}Variable{index}"


def _references(node: Any) -> Iterator[str]:
    """What a part of a template refers to: resources, parameters and pseudo parameters."""
    if isinstance(node, list):
        for element in node:
            yield from _references(element)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        match name, value:
            case ("Ref" | "DependsOn", str()):
                yield value
            case ("DependsOn", list()):
                yield from value
            case ("Fn::GetAtt", str()):
                yield value.split(".")[0]
            case ("Fn::GetAtt", list()):
                yield value[0]
            case ("Fn::Sub", _):
                text = value if isinstance(value, str) else value[0]
                yield from re.findall(r"\$\{([A-Za-z0-9:]+)", text)
                yield from _references(value)
            case _:
                yield from _references(value)


class Account:
    """The emulator's one account."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def create(self, template: Template) -> Environments:
        """Creates what the functions need, and returns their variables.

        A function whose condition does not hold is left out.
        """
        cloudformation = self._client("cloudformation")
        cloudformation.create_stack(StackName=STACK_NAME, TemplateBody=json.dumps(without_functions(template)))
        waiter = cloudformation.get_waiter("stack_create_complete")
        try:
            waiter.wait(StackName=STACK_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        except WaiterError as error:
            events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
            reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
            reason = "; ".join(reasons) or str(error)
            raise Problem(f"The emulator cannot create what the functions need: {reason}") from None
        return self.environments(template)

    def environments(self, template: Template) -> Environments:
        """The functions' variables, once all is created."""
        [stack] = self._client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        values = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        environments = {
            name: {
                variable: values[_output(name, index)]
                for index, variable in enumerate(function.variables)
                if _output(name, index) in values
            }
            for name, function in functions(template).items()
        }
        return {name: variables for name, variables in environments.items() if variables}

    def put_sample_keys(self) -> list[str]:
        """Puts the keys of events/keys into the secrets, and returns the logical ids of those that have some."""
        secrets = self._client("secretsmanager")
        files = {_plain(file.stem): file for file in sorted((EVENTS / "keys").glob("*.json"))}
        resources = self._client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        filled = []
        for resource in resources:
            if resource["ResourceType"] == "AWS::SecretsManager::Secret":
                file = files.get(_plain(resource["LogicalResourceId"]))
                if file:
                    value = file.read_text()
                    secrets.put_secret_value(SecretId=resource["PhysicalResourceId"], SecretString=value)
                    filled.append(resource["LogicalResourceId"])
        return filled


def _plain(name: str) -> str:
    """`MachnetSecret` is `machnet-secret`, and `SterlingVerificationSecret` is `sterling-verification`."""
    return name.lower().replace("-", "").removesuffix("secret")


def write_environments(folder: Path, template: Template, environments: Environments, endpoint: str) -> None:
    """One file per binary, in which every variable that the binary needs has a line."""
    of_aws = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION, **CREDENTIALS}
    for name, function in functions(template).items():
        if name in environments:
            lines = [f"{variable}={value}\n" for variable, value in (environments[name] | of_aws).items() if value]
            (folder / f"{function.binary}.env").write_text("".join(lines))
