"""What template.yaml creates for a set of parameters: the resources that SAM's translator and the conditions leave."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

Template = dict[str, Any]
REGION = "us-east-1"
# What `!Ref AWS::NoValue` becomes: the property or element is left out.
NO_VALUE = object()


@dataclass(frozen=True)
class Resource:
    """A resource that exists, with every condition and parameter in it replaced."""

    name: str
    type: str
    properties: dict[str, Any]


class UnknownParameter(Exception):
    """The template has no such parameter."""


class NotAllowed(Exception):
    """The template does not allow this value of a parameter."""


class ResolvedTemplate:
    """The template under these parameters; the others have their defaults."""

    def __init__(self, template: Path, parameters: Mapping[str, str]) -> None:
        with template.open() as file:
            source = yaml_parse(file)
        unknown = parameters.keys() - source["Parameters"].keys()
        if unknown:
            raise UnknownParameter(f"{template} has no parameter {', '.join(sorted(unknown))}")
        for name, value in parameters.items():
            if value not in map(str, source["Parameters"][name].get("AllowedValues", [value])):
                raise NotAllowed(f"{name} cannot be {value}")
        # The binary of each function, which the translator drops.
        self.binaries: dict[str, str] = {
            name: resource["Metadata"]["BuildProperties"]["Binary"]
            for name, resource in source["Resources"].items()
            if resource["Type"] == "AWS::Serverless::Function"
        }
        # What the template says of each parameter.
        self.source_parameters: dict[str, dict[str, Any]] = source["Parameters"]
        self.parameters = {name: each.get("Default", "") for name, each in source["Parameters"].items()} | parameters
        translated = _translate(source, self.parameters)
        self._mappings = translated.get("Mappings", {})
        self._conditions = translated.get("Conditions", {})
        self.resources: dict[str, Resource] = {
            name: Resource(name, resource["Type"], self._resolve(resource.get("Properties", {})))
            for name, resource in translated["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def of_type(self, kind: str) -> list[Resource]:
        return [each for each in self.resources.values() if each.type == kind]

    def function(self, binary: str) -> Resource | None:
        """The function of a binary, if it is created."""
        [name] = [name for name, each in self.binaries.items() if each == binary]
        return self.resources.get(name)

    def holds(self, condition: str) -> bool:
        return self._is_true(self._conditions[condition])

    def _is_true(self, expression: Any) -> bool:
        [(name, arguments)] = expression.items()
        if name == "Condition":
            return self.holds(arguments)
        if name == "Fn::Equals":
            left, right = (self._resolve(each) for each in arguments)
            return str(left) == str(right)
        if name == "Fn::Not":
            return not self._is_true(arguments[0])
        if name == "Fn::And":
            return all(self._is_true(each) for each in arguments)
        if name == "Fn::Or":
            return any(self._is_true(each) for each in arguments)
        raise NotImplementedError(f"a condition with {name}")

    def _resolve(self, value: Any) -> Any:
        """A value with conditions and parameters replaced. References to other resources stay as they are."""
        if isinstance(value, list):
            elements = [self._resolve(each) for each in value]
            return [each for each in elements if each is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, arguments)] = value.items()
            if name == "Fn::If":
                condition, then, otherwise = arguments
                return self._resolve(then if self.holds(condition) else otherwise)
            if name == "Ref" and arguments == "AWS::NoValue":
                return NO_VALUE
            if name == "Ref" and arguments in self.parameters:
                return self.parameters[arguments]
            if name == "Fn::FindInMap":
                where, first, second = (self._resolve(each) for each in arguments)
                return self._mappings[where][str(first)][second]
            if name == "Fn::Join":
                delimiter, parts = arguments
                return delimiter.join(_text(self._resolve(part)) for part in self._resolve(parts))
            if name == "Fn::Sub":
                return self._substitute(arguments)
        members = {name: self._resolve(each) for name, each in value.items()}
        return {name: each for name, each in members.items() if each is not NO_VALUE}

    def _substitute(self, arguments: Any) -> str:
        """Text in which what is not a parameter keeps its placeholder."""
        text, variables = arguments if isinstance(arguments, list) else (arguments, {})
        known = {name: _text(self._resolve(each)) for name, each in variables.items()}
        known |= {name: str(each) for name, each in self.parameters.items() if name not in known}
        return re.sub(r"\$\{([^!}]+)\}", lambda found: known.get(found[1], found[0]), text)


def _text(value: Any) -> str:
    """A value inside a longer text; a reference to another resource as a placeholder."""
    return value if isinstance(value, str) else "${" + re.sub(r'[^\w.:]', "", json.dumps(value)) + "}"


def _translate(source: Template, parameters: Mapping[str, Any]) -> Template:
    """The CloudFormation template that SAM's own translator makes of it, with placeholders for the packaged code."""
    source = copy.deepcopy(source)
    source.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    # The translator asks no service, but wants a session with a region.
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    translated = translator.translate(source, parameter_values=parameters)
    # To nobody; otherwise it warns that nothing was published.
    translator.metrics.publish()
    # Its own kinds of dictionaries become ordinary ones.
    return json.loads(json.dumps(translated))
