"""What holds data outlives the stack, and a new secret holds nothing that verifies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .problem import Problem
from .resolve import Resolved

# A queue that is deleted with its stack has been emptied or is no longer of use; one that is replaced may hold deliveries.
RETAINED = ("RetainExceptOnCreate", "Retain")
POLICIES = {
    "AWS::DynamoDB::Table": RETAINED,
    "AWS::S3::Bucket": RETAINED,
    "AWS::S3::BucketPolicy": RETAINED,
    "AWS::SQS::Queue": ("Delete", "Retain"),
    "AWS::SecretsManager::Secret": RETAINED,
}


def data_is_retained(resolved: Resolved) -> Iterator[Problem]:
    for name, resource in resolved.resources.items():
        if resource["Type"] in POLICIES:
            wanted = POLICIES[resource["Type"]]
            given = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
            if given != wanted:
                yield Problem(name, f"its deletion and replacement policies are {given} instead of {wanted}")


def secrets_start_empty(resolved: Resolved) -> Iterator[Problem]:
    for name, secret in resolved.of_type("AWS::SecretsManager::Secret").items():
        if "GenerateSecretString" in secret:
            yield Problem(name, "starts with a generated value, which is not a document of the functions")
            continue
        try:
            document = json.loads(secret["SecretString"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            yield Problem(name, f"its placeholder is not JSON: {error}")
            continue
        if not isinstance(document, dict):
            yield Problem(name, "its placeholder is not an object")
        elif filled := [member for member, value in document.items() if _says_something(value)]:
            yield Problem(name, f"its placeholder already has {', '.join(filled)}")


def _says_something(value: Any) -> bool:
    # A number is a setting, such as a lifetime.
    return bool(value) and not isinstance(value, int | float)
