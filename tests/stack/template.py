"""Derives what is deployed for a test from template.yaml.

Of what a user deploys, this differs: each function's code is a folder that starts the binary of an ordinary cargo build,
the architecture is the host's, the variable with a file of Lambda's image is gone, the build instructions (`Metadata`) are gone, and so are the alarms on metric math, which
the emulator does not know. No version is published, so that a test can change a function's settings. `test_template.py`
holds this to be all.
"""

from __future__ import annotations

import copy
import functools
import json
import pickle
import platform
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
PARAMETERS = {"Architecture": ARCHITECTURE}

# What a test stack has not, of all functions and of each.
GLOBALS_LEFT_OUT = ["CodeUri", "AutoPublishAlias"]
# A file of Lambda's image.
VARIABLE_LEFT_OUT = "SSL_CERT_FILE"
LEFT_OUT = ["AutoPublishCodeSha256", "DeploymentPreference"]

Template = dict[str, Any]


def original() -> Template:
    """template.yaml with its intrinsic functions in their long form; who gets it may change it."""
    return pickle.loads(_parsed())


@functools.cache
def _parsed() -> bytes:
    with TEMPLATE.open() as file:
        return pickle.dumps(yaml_parse(file))


def binaries(template: Template) -> dict[str, str]:
    """The binary that each function resource is built from."""
    return {
        name: resource["Metadata"]["BuildProperties"]["Binary"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def derive(code_folders: dict[str, Path]) -> Template:
    """The template to deploy: every function's code comes from its folder."""
    template = original()
    for name in GLOBALS_LEFT_OUT:
        del template["Globals"]["Function"][name]
    del template["Globals"]["Function"]["Environment"]["Variables"][VARIABLE_LEFT_OUT]
    for name in binaries(template):
        function = template["Resources"][name]
        del function["Metadata"]
        for part in LEFT_OUT:
            function["Properties"].pop(part, None)
        function["Properties"]["CodeUri"] = str(code_folders[name])
    return without_metric_math(template)


def without_metric_math(template: Template) -> Template:
    """The template less the alarms that the emulator does not know."""
    alarms = metric_math_alarms(template)
    resources = {name: resource for name, resource in template["Resources"].items() if name not in alarms}
    return template | {"Resources": resources}


def metric_math_alarms(template: Template) -> list[str]:
    return [
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    ]


def translate(template: Template, parameters: dict[str, str] | None = None) -> Template:
    """The CloudFormation template that SAM's own translator makes of it for these parameters, with placeholders for the
    packaged code."""
    template = copy.deepcopy(template)
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    values = PARAMETERS | (parameters or {})
    translated = Translator({}, Parser(), boto_session=_session()).translate(template, parameter_values=values)
    # The translator's own kinds of dictionaries become ordinary ones.
    return json.loads(json.dumps(translated))


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session(region_name="us-east-1")


def routes(translated: Template) -> dict[str, str]:
    """Each route of the HTTP API ("POST /path") and the function resource behind it, those of disabled providers included."""
    found = {}
    for path, methods in if_so(translated["Resources"]["Api"]["Properties"]["Body"]["paths"]).items():
        for method, operation in if_so(methods).items():
            uri = if_so(if_so(operation)["x-amazon-apigateway-integration"]["uri"])["Fn::Sub"]
            function = uri.split("functions/${", 1)[1].split("}", 1)[0]
            found[f"{method.upper()} {path}"] = function.removesuffix(".Arn").removesuffix("Aliaslive")
    return found


def if_so(part: Any) -> Any:
    """What a part is if its condition holds."""
    return part["Fn::If"][1] if isinstance(part, dict) and "Fn::If" in part else part
