"""The settings of a stack: what samconfig.toml says of it, checked against the parameters of template.yaml."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from problem import Problem
from samtranslator.yaml_helper import yaml_parse

SAMCONFIG = "samconfig.toml"
TEMPLATE = "template.yaml"
# What SAM calls the environment in which it looks unless told otherwise.
DEFAULT = "default"


def template(root: Path) -> dict[str, Any]:
    """template.yaml with its intrinsic functions in their long form."""
    return yaml_parse((root / TEMPLATE).read_text())


@dataclass(frozen=True)
class Parameters:
    """The parameters that template.yaml declares."""

    declared: dict[str, dict[str, Any]]
    rules: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, root: Path) -> Parameters:
        document = template(root)
        return cls(document["Parameters"], document.get("Rules", {}))

    def all(self, chosen: dict[str, str]) -> dict[str, str]:
        """The value of every parameter, given those that are chosen."""
        return {name: chosen.get(name, self.default(name) or "") for name in self.declared}

    def check_rules(self, chosen: dict[str, str], stack: str) -> None:
        """Asserts what CloudFormation would assert."""
        values = self.all(chosen)
        for rule in self.rules.values():
            if _holds(rule.get("RuleCondition", True), values):
                for assertion in rule["Assertions"]:
                    if not _holds(assertion["Assert"], values):
                        raise Problem(f"The settings of {stack} cannot be deployed: {assertion['AssertDescription']}")

    def default(self, name: str) -> str | None:
        """None for a parameter that has no default."""
        default = self.declared[name].get("Default")
        return None if default is None else text(default)

    def check(self, name: str, value: str, place: str) -> None:
        """Finds out within a second what CloudFormation would say only after everything is built."""
        if name not in self.declared:
            close = difflib.get_close_matches(name, self.declared, 1, 0.5)
            hint = f"did you mean {close[0]}?" if close else f"{TEMPLATE} lists them under `Parameters`."
            raise Problem(f"{place} sets {name!r}, which is not a parameter of the stack: {hint}")
        declaration = self.declared[name]
        allowed = [text(each) for each in declaration.get("AllowedValues", [])]
        if allowed and value not in allowed:
            raise Problem(f"{place} sets {name} to {value!r}; use one of: {', '.join(allowed)}.")
        pattern = declaration.get("AllowedPattern")
        if pattern and not re.fullmatch(pattern, value):
            raise Problem(f"{place} sets {name} to {value!r}, which does not match {pattern}.")
        if declaration["Type"] == "Number":
            self._check_number(name, value, place)

    def _check_number(self, name: str, value: str, place: str) -> None:
        try:
            number = float(value)
        except ValueError:
            raise Problem(f"{place} sets {name} to {value!r}, which is not a number.") from None
        low, high = self.declared[name].get("MinValue"), self.declared[name].get("MaxValue")
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = f"{low} or more" if high is None else f"{high} or less" if low is None else f"{low} to {high}"
            raise Problem(f"{place} sets {name} to {value}; the template allows {bounds}.")


def _holds(condition: Any, values: dict[str, str]) -> bool:
    """Evaluates a condition of a rule. One with other functions than these is left to CloudFormation."""
    match condition:
        case {"Fn::Equals": [left, right]}:
            return _value(left, values) == _value(right, values)
        case {"Fn::Not": [one]}:
            return not _holds(one, values)
        case {"Fn::And": [*each]}:
            return all(_holds(one, values) for one in each)
        case {"Fn::Or": [*each]}:
            return any(_holds(one, values) for one in each)
    return True


def _value(part: Any, values: dict[str, str]) -> str:
    return values[part["Ref"]] if isinstance(part, dict) else text(part)


def text(value: Any) -> str:
    """A value as CloudFormation takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def given(parameters: str) -> dict[str, str]:
    """The settings in a text such as `Key=Value Key=Value`; what is not of that form continues the value before it."""
    try:
        words = shlex.split(parameters)
    except ValueError as error:
        raise Problem(f"PARAMETERS cannot be read ({error}); write PARAMETERS=\"Key=Value Key=Value\".") from None
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and re.fullmatch("[A-Za-z0-9]+", name):
            found[name] = value
        elif found:
            # "MachnetSilence=1 day", without quotes of its own.
            name = next(reversed(found))
            found[name] += f" {word}"
        else:
            raise Problem(f"PARAMETERS begins with {word!r}; write PARAMETERS=\"Key=Value Key=Value\".")
    return found


class Settings:
    """What samconfig.toml says of one stack.

    Each stack has an environment of its own there, which `sam … --config-env` names: the default stack has `default`, any
    other one an environment with the stack's name.
    """

    def __init__(self, root: Path, stack: str | None) -> None:
        """Settings of the default stack if `stack` is None."""
        self._file = root / SAMCONFIG
        try:
            self._document = tomlkit.parse(self._file.read_text())
        except (OSError, ValueError) as error:
            raise Problem(f"{SAMCONFIG} cannot be read: {error}") from None
        self.stack = self._default_stack() if stack is None else stack
        if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,127}", self.stack):
            raise Problem(
                f"STACK={self.stack} does not name a stack: write `make deploy STACK=name`, with letters, digits and hyphens, "
                "or leave STACK out for the default stack."
            )
        self.environment = self._environment()

    def _default_stack(self) -> str:
        stack = self._global(DEFAULT).get("stack_name")
        if not stack:
            raise Problem(f"{SAMCONFIG} has no stack_name under [default.global.parameters]: write STACK=name.")
        return str(stack)

    def _global(self, environment: str) -> dict[str, Any]:
        return self._document.get(environment, {}).get("global", {}).get("parameters", {})

    def _environment(self) -> str:
        environments = [name for name, each in self._document.items() if isinstance(each, dict)]
        for name in environments:
            if self._global(name).get("stack_name") == self.stack:
                return name
        if self.stack in self._document:
            raise Problem(
                f"{SAMCONFIG} uses the name {self.stack} for something else: choose another STACK, or write "
                f'stack_name = "{self.stack}" under [{self.stack}.global.parameters].'
            )
        return self.stack

    @property
    def is_default(self) -> bool:
        return self.environment == DEFAULT

    @property
    def place(self) -> str:
        """Where the parameters of the stack are kept."""
        return f"{SAMCONFIG}, [{self.environment}.global.parameters.parameter_overrides],"

    def option(self, name: str) -> str | None:
        """An option of `sam deploy`, such as `region`, if samconfig.toml has it."""
        deploy = self._document.get(self.environment, {}).get("deploy", {}).get("parameters", {})
        value = deploy.get(name, self._global(self.environment).get(name))
        return None if value is None else str(value)

    def parameters(self) -> dict[str, str]:
        """The parameters that are set."""
        overrides = self._global(self.environment).get("parameter_overrides", {})
        if not isinstance(overrides, dict):
            raise Problem(f'{self.place} is not a table; write one line for each parameter, such as LogLevel = "info".')
        return {str(name): text(value) for name, value in overrides.items()}

    def set(self, parameters: dict[str, str]) -> None:
        """Changes parameters, in memory, and adds the stack's environment if there is none yet."""
        if self.environment not in self._document:
            self._add_environment()
        if not parameters:
            return
        section = self._document[self.environment]["global"]["parameters"]
        overrides = section.setdefault("parameter_overrides", tomlkit.table())
        for name, value in parameters.items():
            overrides[name] = value

    def _add_environment(self) -> None:
        """SAM's own options are those of the default stack. Of its parameters only the architecture is taken over, because
        the others, such as a domain name, may be another stack's."""
        environment = self._document.get(DEFAULT, tomlkit.table()).unwrap()
        options = environment.setdefault("global", {}).setdefault("parameters", {})
        architecture = {
            name: value for name, value in options.pop("parameter_overrides", {}).items() if name == "Architecture"
        }
        options.pop("stack_name", None)
        environment["global"]["parameters"] = {
            "stack_name": self.stack,
            **options,
            "parameter_overrides": architecture,
        }
        added = tomlkit.dumps({self.environment: environment})
        self._document = tomlkit.parse(f"{tomlkit.dumps(self._document).rstrip()}\n\n{added}")

    def save(self) -> None:
        """Writes samconfig.toml if something changed."""
        written = tomlkit.dumps(self._document)
        if written != self._file.read_text():
            new = self._file.with_suffix(".toml.new")
            new.write_text(written)
            os.replace(new, self._file)
