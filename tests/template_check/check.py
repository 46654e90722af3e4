"""Applies every rule under every set of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from samtranslator.model.exceptions import InvalidDocumentException
from stack import template as sam

from . import access_log, alarms, metrics, names, permissions, references, replacement, retention, sizes
from .parameter_sets import EVERYTHING, base_sets, sweep, without_any_provider
from .problem import Problem
from .resolve import Resolved, Template, resolve

OF_THE_TEMPLATE: list[Callable[[Template], Iterator[Problem]]] = [
    references.names_exist,
    references.rules_use_their_own_functions,
    sizes.the_template_fits,
    sizes.parameters_have_their_place_in_the_console,
]
OF_A_SET: list[Callable[[Resolved], Iterator[Problem]]] = [
    references.conditions_and_mappings_hold,
    references.references_hold,
    references.nothing_depends_on_itself,
    alarms.expressions_are_valid,
    alarms.periods_are_allowed,
    alarms.settings_are_known,
    alarms.alarms_notify_the_topic,
    alarms.descriptions_lead_to_the_runbook,
    access_log.filters_count_what_they_are_for,
    access_log.the_access_log_is_json_without_a_path,
    metrics.filtered_metrics_are_watched,
    metrics.functions_send_to_the_namespace,
    permissions.roles_are_narrow,
    permissions.policies_fit,
    permissions.schedules_invoke_their_function_only,
    names.names_are_of_the_stack,
    retention.data_is_retained,
    retention.secrets_start_empty,
    sizes.environments_fit,
]


@dataclass(frozen=True)
class Finding:
    """A problem, and the sets of parameters under which it is one; none if it does not depend on them."""

    problem: Problem
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    findings: list[Finding]
    # By what they are called.
    sets: dict[str, Resolved]
    rules: int


def check(template: Template, only: str = "") -> Report:
    """Checks a SAM template, as its YAML is read; with a name, under that set of parameters only."""
    binaries = sam.binaries(template)
    found: dict[Problem, dict[str, None]] = {}

    def report(problems: Iterator[Problem], *labels: str) -> None:
        for problem in problems:
            found.setdefault(problem, {}).update(dict.fromkeys(labels))

    try:
        sets = _resolve_all(template, only, report)
    except InvalidDocumentException as error:
        report(Problem("the template", f"is not translated: {cause.message}") for cause in error.causes)
        sets = {}
    for label, resolved in sets.items():
        for rule in OF_A_SET:
            report(rule(resolved), label)
        report(metrics.alarms_watch_metrics_that_exist(resolved, binaries), label)
        whole = label == EVERYTHING
        report(permissions.roles_allow_what_was_called(resolved, binaries, whole), label)
        if whole:
            report(metrics.dashboards_show_metrics_that_exist(resolved, binaries), label)
            report(replacement.nothing_is_replaced(resolved), label)
    findings = [
        Finding(problem, () if len(labels) >= len(sets) else tuple(labels)) for problem, labels in sorted(found.items())
    ]
    return Report(findings, sets, len(OF_THE_TEMPLATE) + len(OF_A_SET) + 4)


def _resolve_all(template: Template, only: str, report: Callable[..., None]) -> dict[str, Resolved]:
    sets = {}
    varied = sweep(template)
    for label, parameters in base_sets(template).items():
        variants = varied if label == EVERYTHING else {}
        if only and only != label and only not in variants:
            continue
        translated = sam.translate(template, parameters)
        for rule in OF_THE_TEMPLATE:
            report(rule(translated), label)
        if only in {"", label}:
            sets[label] = resolve(translated, label, parameters)
            report((Problem("Rules", f"refuse {label}: {reason}") for reason in sets[label].refused), label)
        for name, changed in variants.items():
            if only not in {"", name}:
                continue
            one = resolve(translated, name, changed)
            # A value that does not go with the others is refused, and nothing is deployed.
            if not one.refused:
                sets[name] = one
    nothing = without_any_provider(template)
    if not resolve(sam.translate(template, nothing), "", nothing).refused:
        report(iter([Problem("Rules", "allow a stack without any provider")]))
    return sets


def accept(template: Template) -> None:
    """Takes the resources that hold data as they are now for those that must not change."""
    parameters = base_sets(template)[EVERYTHING]
    replacement.accept(resolve(sam.translate(template, parameters), EVERYTHING, parameters))
