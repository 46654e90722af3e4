"""A translated template as CloudFormation resolves it for a set of parameters.

Conditions, rules, mappings and parameters are evaluated, and of each `Fn::If` only the branch that is taken stays. What is
known only once the stack exists stays as it is written: `Ref` and `Fn::GetAtt` of a resource, and `Fn::Sub` with the names of
resources and pseudo parameters. A `Ref` to a pseudo parameter becomes such a `Fn::Sub`, and so does a `Fn::Join`, so that a
value has one form however it was written.

Source: "Intrinsic function reference" and "Rules" in the CloudFormation user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .problem import Problem

PSEUDO_PARAMETERS = {
    f"AWS::{name}" for name in ["AccountId", "NotificationARNs", "Partition", "Region", "StackId", "StackName", "URLSuffix"]
}
NO_VALUE = "AWS::NoValue"
VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")
LITERAL = re.compile(r"\$\{!([^}]*)\}")
# What a property without a value becomes.
_NOTHING = object()

Template = dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """A use of a resource, by `Ref`, `Fn::GetAtt`, `Fn::Sub` or `DependsOn`."""

    user: str
    name: str


@dataclass
class Resolved:
    """The template for one set of parameters: the resources and outputs that exist, and their properties."""

    label: str
    parameters: dict[str, Any]
    conditions: dict[str, bool] = field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    # The assertions of rules that do not hold.
    refused: list[str] = field(default_factory=list)
    references: set[Reference] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of each resource of a type."""
        return {
            name: resource.get("Properties", {}) for name, resource in self.resources.items() if resource["Type"] == kind
        }


def names(text: str) -> Iterator[str]:
    """The names of resources in the text of a `Fn::Sub`, without attributes."""
    for variable in VARIABLE.findall(text):
        if not variable.startswith("AWS::"):
            yield variable.split(".")[0]


def resolve(template: Template, label: str, parameters: dict[str, Any]) -> Resolved:
    """Resolves a translated template for these parameters, and the defaults of the others."""
    values = {}
    resolved = Resolved(label, values)
    for name, declared in template.get("Parameters", {}).items():
        value = parameters.get(name, declared.get("Default", _NOTHING))
        if value is _NOTHING:
            resolved.problems.append(Problem(name, "the parameter has neither a default nor a value"))
            value = ""
        allowed = declared.get("AllowedValues")
        if allowed and str(value) not in map(str, allowed):
            resolved.problems.append(Problem(name, f"{value!r} is not an allowed value of the parameter"))
        values[name] = _typed(value, declared["Type"])
    for name in parameters.keys() - values.keys():
        resolved.problems.append(Problem(name, "the parameter does not exist"))
    _Resolver(template, resolved).resolve()
    return resolved


def _typed(value: Any, kind: str) -> Any:
    if kind == "Number":
        return float(value) if "." in str(value) else int(value)
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return str(value).split(",")
    return value


def as_text(value: Any) -> str | None:
    """The text of a value, with `${}` around what is known only later; None if it is not text."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": text}:
            return text
    return None


class _Resolver:
    def __init__(self, template: Template, resolved: Resolved) -> None:
        self.template = template
        self.resolved = resolved
        self.user = ""
        self._evaluating: list[str] = []

    def resolve(self) -> None:
        for name in self.template.get("Conditions", {}):
            self.user = f"condition {name}"
            self.condition(name)
        for name, rule in self.template.get("Rules", {}).items():
            self.user = f"rule {name}"
            if self.holds(rule.get("RuleCondition", True)):
                for assertion in rule["Assertions"]:
                    if not self.holds(assertion["Assert"]):
                        self.resolved.refused.append(assertion.get("AssertDescription", name))
        for section, found in [("Resources", self.resolved.resources), ("Outputs", self.resolved.outputs)]:
            for name, part in self.template.get(section, {}).items():
                self.user = name if section == "Resources" else f"output {name}"
                if "Condition" not in part or self.condition(part["Condition"]):
                    found[name] = self.value({key: value for key, value in part.items() if key != "Metadata"})
                    for other in _list(part.get("DependsOn", [])):
                        self.resolved.references.add(Reference(self.user, other))

    def problem(self, reason: str) -> None:
        found = Problem(self.user, reason)
        if found not in self.resolved.problems:
            self.resolved.problems.append(found)

    # Conditions

    def condition(self, name: str) -> bool:
        if name in self.resolved.conditions:
            return self.resolved.conditions[name]
        if name not in self.template.get("Conditions", {}):
            self.problem(f"the condition {name} does not exist")
            return False
        if name in self._evaluating:
            self.problem(f"the condition {name} depends on itself")
            return False
        self._evaluating.append(name)
        self.resolved.conditions[name] = self.holds(self.template["Conditions"][name])
        self._evaluating.pop()
        return self.resolved.conditions[name]

    def holds(self, expression: Any) -> bool:
        """A condition function's value."""
        match expression:
            case bool():
                return expression
            case {"Condition": str(name)}:
                return self.condition(name)
            case {"Fn::Not": [one]}:
                return not self.holds(one)
            case {"Fn::And": several}:
                return all([self.holds(each) for each in several])
            case {"Fn::Or": several}:
                return any([self.holds(each) for each in several])
            case {"Fn::Equals": [left, right]}:
                return self._text(left) == self._text(right)
            case {"Fn::Contains": [several, wanted]}:
                return self._text(wanted) in map(self._text, self.value(several))
            case {"Fn::EachMemberEquals": [several, wanted]}:
                return all(self._text(each) == self._text(wanted) for each in self.value(several))
            case {"Fn::EachMemberIn": [several, allowed]}:
                return {self._text(each) for each in self.value(several)} <= set(map(self._text, self.value(allowed)))
        self.problem(f"{expression} is not a condition")
        return False

    def _text(self, value: Any) -> str:
        resolved = self.value(value)
        text = as_text(resolved)
        if text is None:
            self.problem(f"a condition compares {resolved}, which is not text")
        return text or ""

    # Values

    def value(self, value: Any) -> Any:
        """A value without what is known already; `_NOTHING` is left out of lists and objects."""
        if isinstance(value, list):
            return [each for each in map(self.value, value) if each is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument)
        resolved = {name: self.value(each) for name, each in value.items()}
        return {name: each for name, each in resolved.items() if each is not _NOTHING}

    def _function(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Ref", str():
                return self._ref(argument)
            case "Fn::GetAtt", [str(resource), attribute]:
                self._refer(resource)
                return {name: [resource, self.value(attribute)]}
            case "Fn::GetAtt", str():
                return self._function(name, argument.split(".", 1))
            case "Fn::Sub", str():
                return self._sub(argument, {})
            case "Fn::Sub", [str(text), dict(variables)]:
                return self._sub(text, {key: self.value(each) for key, each in variables.items()})
            case "Fn::If", [str(condition), then, otherwise]:
                return self.value(then if self.condition(condition) else otherwise)
            case "Fn::FindInMap", [_, _, _]:
                return self._in_map(*map(self._text, argument))
            case "Fn::Join", [str(separator), several]:
                return self._join(separator, self.value(several))
            case "Fn::Select", [index, several]:
                return self._select(int(self._text(index)), self.value(several))
            case "Fn::Split", [str(separator), text]:
                whole = self.value(text)
                return whole.split(separator) if isinstance(whole, str) else {name: [separator, whole]}
        if name in {"Ref", "Fn::GetAtt", "Fn::Sub", "Fn::If", "Fn::FindInMap", "Fn::Join", "Fn::Select", "Fn::Split"}:
            self.problem(f"{name} does not take {argument}")
        return {name: self.value(argument)}

    def _ref(self, name: str) -> Any:
        if name == NO_VALUE:
            return _NOTHING
        if name in PSEUDO_PARAMETERS:
            return {"Fn::Sub": f"${{{name}}}"}
        if name in self.resolved.parameters:
            return self.resolved.parameters[name]
        self._refer(name)
        return {"Ref": name}

    def _refer(self, name: str) -> None:
        self.resolved.references.add(Reference(self.user, name))

    def _sub(self, text: str, variables: dict[str, Any]) -> Any:
        def replaced(found: re.Match[str]) -> str:
            name = found[1]
            if name in variables:
                return as_text(variables[name]) or f"${{{name}}}"
            if name in self.resolved.parameters:
                return as_text(self.resolved.parameters[name]) or ""
            if name not in PSEUDO_PARAMETERS:
                self._refer(name.split(".")[0])
            return found[0]

        return self._known(VARIABLE.sub(replaced, text))

    def _known(self, text: str) -> Any:
        """A text, as a plain one if nothing in it is known only later."""
        return {"Fn::Sub": text} if VARIABLE.search(text) else LITERAL.sub(r"${\1}", text)

    def _in_map(self, mapping: str, first: str, second: str) -> Any:
        try:
            return self.value(self.template.get("Mappings", {})[mapping][first][second])
        except KeyError:
            self.problem(f"the mapping {mapping} has no {second} of {first!r}")
            return ""

    def _join(self, separator: str, several: Any) -> Any:
        texts = [as_text(each) for each in _list(several)]
        if None in texts or isinstance(several, dict):
            return {"Fn::Join": [separator, several]}
        return self._known(separator.join(text or "" for text in texts))

    def _select(self, index: int, several: Any) -> Any:
        if not isinstance(several, list):
            return {"Fn::Select": [index, several]}
        if index >= len(several):
            self.problem(f"Fn::Select takes number {index} of {len(several)}")
            return ""
        return several[index]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
