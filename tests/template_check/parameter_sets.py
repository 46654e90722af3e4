"""The sets of parameters for which the template is checked."""

from __future__ import annotations

from typing import Any

from .resolve import Template

# Everything that is off unless asked for, on.
OPTIONS = {
    "AlarmEmail": "operator@example.com",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000",
    "DisableApiHost": "true",
    "DomainName": "hooks.example.com",
    "GradualDeployment": "true",
    "HostedZoneId": "Z0000000000000000000",
    "KeepRefused": "20",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000",
    "MonthlyBudgetDollars": "10",
    "NowCertsReservedConcurrency": "1",
    "NowCertsScheduleState": "ENABLED",
    "NowCertsSecurityGroupIds": "sg-00000000000000000",
    "NowCertsSubnetIds": "subnet-00000000000000000,subnet-11111111111111111",
    "NurtureCloudBaseUrl": "https://nurturecloud.example.com/v1",
    "NurtureCloudResyncBusinesses": "1,2",
    "ThrottleRequestsPerSecond": "100",
    "Tracing": "Active",
}
# An expected interval of every provider.
SILENCE = "1d"
# What a rule takes only with its provider.
NEEDS_PROVIDER = {"NurtureCloudBaseUrl": "NurtureCloud", "NurtureCloudResyncBusinesses": "NurtureCloud"}
DEFAULTS, EVERYTHING = "the defaults", "every option on"
# What takes a resource's place.
EXISTING = {"EventBusName": "orders"}

Parameters = dict[str, Any]


def providers(template: Template) -> list[str]:
    """The providers that can be enabled or disabled, each by its parameter."""
    declared = template.get("Parameters", {}).items()
    return [name for name, parameter in declared if parameter.get("AllowedValues") == ["enabled", "disabled"]]


def base_sets(template: Template) -> dict[str, Parameters]:
    """The sets for which the template is translated, by what they are called."""
    names = providers(template)
    options = OPTIONS | {f"{name}Silence": SILENCE for name in names}
    known = {name: value for name, value in options.items() if name in template.get("Parameters", {})}
    sets: dict[str, Parameters] = {DEFAULTS: {}, EVERYTHING: known}
    sets[f"{EVERYTHING}, what may exist already"] = known | {
        name: value for name, value in EXISTING.items() if name in template.get("Parameters", {})
    }
    for name in names:
        alone = {other: "disabled" for other in names if other != name}
        possible = {option: value for option, value in known.items() if NEEDS_PROVIDER.get(option, name) == name}
        sets[f"{name} alone"] = alone
        sets[f"{name} alone, {EVERYTHING}"] = possible | alone
    return sets


def sweep(template: Template) -> dict[str, Parameters]:
    """The set with every option on, with each allowed value of each parameter in turn."""
    everything = base_sets(template)[EVERYTHING]
    return {
        f"{name} {value}": everything | {name: value}
        for name, parameter in template.get("Parameters", {}).items()
        for value in parameter.get("AllowedValues", [])
        if str(value) != str(everything.get(name, parameter.get("Default")))
    }


def without_any_provider(template: Template) -> Parameters:
    """What a rule has to refuse."""
    return dict.fromkeys(providers(template), "disabled")
