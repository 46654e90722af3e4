"""The sets of parameters for which the template is checked."""

from __future__ import annotations

from typing import Any

from .resolve import Template

PROVIDERS = ["Accredit", "Machnet", "Sterling", "NurtureCloud", "NowCerts"]

# Everything that is off unless asked for, on.
OPTIONS = {
    "AlarmEmail": "operator@example.com",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000",
    "DisableApiHost": "true",
    "DomainName": "hooks.example.com",
    "GradualDeployment": "true",
    "HostedZoneId": "Z0000000000000000000",
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
    **{f"{provider}Silence": "1d" for provider in PROVIDERS},
}
# What a rule takes only with its provider.
NEEDS_PROVIDER = {"NurtureCloudBaseUrl": "NurtureCloud", "NurtureCloudResyncBusinesses": "NurtureCloud"}
DEFAULTS, EVERYTHING = "the defaults", "every option on"

Parameters = dict[str, Any]


def base_sets(template: Template) -> dict[str, Parameters]:
    """The sets for which the template is translated, by what they are called."""
    declared = template.get("Parameters", {}).keys()

    def known(parameters: Parameters) -> Parameters:
        return {name: value for name, value in parameters.items() if name in declared}

    sets = {DEFAULTS: {}, EVERYTHING: known(OPTIONS)}
    for provider in PROVIDERS:
        if provider in declared:
            alone = {other: "disabled" for other in PROVIDERS if other != provider}
            options = {name: value for name, value in OPTIONS.items() if NEEDS_PROVIDER.get(name, provider) == provider}
            sets[f"{provider} alone"] = alone
            sets[f"{provider} alone, {EVERYTHING}"] = known(options) | alone
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


def without_any_provider(template: Template) -> Parameters | None:
    """What a rule has to refuse; None if providers can't be disabled."""
    declared = template.get("Parameters", {}).keys()
    return dict.fromkeys(PROVIDERS, "disabled") if declared >= set(PROVIDERS) else None
