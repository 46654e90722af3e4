"""Each name that is used exists whenever its user does, and nothing depends on itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .problem import Problem
from .resolve import NO_VALUE, PSEUDO_PARAMETERS, VARIABLE, Resolved, Template


def names_exist(template: Template) -> Iterator[Problem]:
    """Each name in the template is one of its parameters, resources or conditions, in whichever branch it stands."""
    known = template.get("Parameters", {}).keys() | template["Resources"].keys() | PSEUDO_PARAMETERS | {NO_VALUE}
    conditions = template.get("Conditions", {}).keys()
    for section in ["Conditions", "Rules", "Resources", "Outputs"]:
        for where, part in template.get(section, {}).items():
            used = set(_named(part, frozenset()))
            if section in {"Resources", "Outputs"}:
                used |= {("resource", name) for name in _list(part.get("DependsOn", []))}
                used |= {("condition", part["Condition"])} if "Condition" in part else set()
            for kind, name in sorted(used):
                if name not in (conditions if kind == "condition" else known):
                    yield Problem(where, f"the {kind} {name} does not exist")


# Source: "Rule-specific intrinsic functions" in the CloudFormation user guide.
IN_RULES = {
    *("Fn::And", "Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn", "Fn::Equals", "Fn::If", "Fn::Not", "Fn::Or"),
    *("Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll", "Ref"),
}


def rules_use_their_own_functions(template: Template) -> Iterator[Problem]:
    for name, rule in template.get("Rules", {}).items():
        for function in sorted(set(_functions(rule)) - IN_RULES):
            yield Problem(name, f"a rule can't use {function}")


def _functions(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name in {"Ref", "Condition"} or name.startswith("Fn::"):
                yield name
            yield from _functions(value)
    elif isinstance(part, list):
        for each in part:
            yield from _functions(each)


def _named(part: Any, variables: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The kind and name of everything that a part of the template names."""
    match part:
        case {"Ref": str(name)} if len(part) == 1:
            yield "resource", name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield "resource", name
        case {"Fn::GetAtt": str(path)}:
            yield "resource", path.split(".")[0]
        case {"Fn::Sub": [str(text), dict(values)]}:
            yield from _named({"Fn::Sub": text}, frozenset(values))
            yield from _named(list(values.values()), frozenset())
        case {"Fn::Sub": str(text)}:
            for variable in VARIABLE.findall(text):
                if variable not in variables:
                    yield "resource", variable if variable.startswith("AWS::") else variable.split(".")[0]
        case {"Fn::If": [str(condition), *branches]}:
            yield "condition", condition
            yield from _named(branches, frozenset())
        case {"Condition": str(name)} if len(part) == 1:
            yield "condition", name
        case dict():
            for each in part.values():
                yield from _named(each, frozenset())
        case list():
            for each in part:
                yield from _named(each, frozenset())


def references_hold(resolved: Resolved) -> Iterator[Problem]:
    """Nothing that exists uses a resource whose condition is false."""
    for reference in sorted(resolved.references, key=lambda each: (each.user, each.name)):
        if reference.name not in resolved.resources:
            yield Problem(reference.user, f"uses {reference.name}, which does not exist under these parameters")


def nothing_depends_on_itself(resolved: Resolved) -> Iterator[Problem]:
    uses: dict[str, set[str]] = {name: set() for name in resolved.resources}
    for reference in resolved.references:
        if reference.user in uses and reference.name in uses:
            uses[reference.user].add(reference.name)
    # What depends on nothing that is left is taken away; a cycle stays.
    while free := [name for name, used in uses.items() if not used]:
        for name in free:
            del uses[name]
        for used in uses.values():
            used.difference_update(free)
    for name in sorted(_in_a_cycle(uses)):
        yield Problem(name, f"depends on itself, through {', '.join(sorted(uses[name]))}")


def _in_a_cycle(uses: dict[str, set[str]]) -> set[str]:
    def reaches(start: str) -> bool:
        seen: set[str] = set()
        following = list(uses[start])
        while following:
            name = following.pop()
            if name not in seen:
                seen.add(name)
                following += uses.get(name, ())
        return start in seen

    return {name for name in uses if reaches(name)}


def conditions_and_mappings_hold(resolved: Resolved) -> Iterator[Problem]:
    """What could not be resolved at all."""
    yield from resolved.problems


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
