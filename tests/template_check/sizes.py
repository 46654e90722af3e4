"""The limits of CloudFormation and Lambda on what a template may hold.

Sources: "CloudFormation quotas" in the CloudFormation user guide; "Lambda quotas" in the Lambda developer guide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .problem import Problem
from .resolve import Resolved, Template

MAX_COUNT = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}
MAX_MAPPING_ATTRIBUTES = 200
MAX_BYTES = 1_000_000
MAX_DESCRIPTION_BYTES = 1024
MAX_PARAMETER_DESCRIPTION_CHARACTERS = 4000
MAX_ENVIRONMENT_BYTES = 4096


def the_template_fits(template: Template) -> Iterator[Problem]:
    for section, limit in MAX_COUNT.items():
        if (count := len(template.get(section, {}))) > limit:
            yield Problem(section, f"{count} entries, of {limit}")
    for name, mapping in template.get("Mappings", {}).items():
        for key, attributes in [("", mapping), *mapping.items()]:
            if len(attributes) > MAX_MAPPING_ATTRIBUTES:
                yield Problem(name, f"{len(attributes)} entries {key}, of {MAX_MAPPING_ATTRIBUTES}")
    if (size := len(json.dumps(template, separators=(",", ":")).encode())) > MAX_BYTES:
        yield Problem("the template", f"{size:,} bytes when processed, of {MAX_BYTES:,}")
    described: list[tuple[str, Any]] = [("the template", template)]
    described += [(f"output {name}", output) for name, output in template.get("Outputs", {}).items()]
    for name, part in described:
        if (size := len(str(part.get("Description", "")).encode())) > MAX_DESCRIPTION_BYTES:
            yield Problem(name, f"its description has {size} bytes, of {MAX_DESCRIPTION_BYTES}")
    for name, parameter in template.get("Parameters", {}).items():
        if len(parameter.get("Description", "")) > MAX_PARAMETER_DESCRIPTION_CHARACTERS:
            yield Problem(name, "its description is too long")


def environments_fit(resolved: Resolved) -> Iterator[Problem]:
    for name, function in resolved.of_type("AWS::Lambda::Function").items():
        variables = function.get("Environment", {}).get("Variables", {})
        if (size := len(json.dumps(variables).encode())) > MAX_ENVIRONMENT_BYTES:
            yield Problem(name, f"its environment has {size} bytes, of {MAX_ENVIRONMENT_BYTES}")


def parameters_have_their_place_in_the_console(template: Template) -> Iterator[Problem]:
    groups = template.get("Metadata", {}).get("AWS::CloudFormation::Interface", {}).get("ParameterGroups", [])
    placed = [parameter for group in groups for parameter in group["Parameters"]]
    for name in sorted(template["Parameters"].keys() ^ set(placed)):
        yield Problem(name, "is not both a parameter and in a group of parameters")
    for name in sorted({each for each in placed if placed.count(each) > 1}):
        yield Problem(name, "is in two groups of parameters")
