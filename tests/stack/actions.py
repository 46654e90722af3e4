"""Which IAM actions a call to AWS needs, and on what.

Source: "Actions, resources, and condition keys" of each service in the Service Authorization Reference: a batch of SQS needs
the action for one message, and a transaction of DynamoDB the actions of its items.
"""

from __future__ import annotations

import json
from typing import Any

# An action and the resource as the call names it; for an object, the bucket and the first part of its key, or the first two where
# each function has a folder of its own.
Needed = tuple[str, str]

IN_A_TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}
OF_A_FUNCTION = "refused/"
OF_OBJECTS = {"PUT": "s3:PutObject", "GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}


def needed(target: str | None, method: str, path: str, body: bytes) -> frozenset[Needed]:
    """The actions of one request; `target` is its header `X-Amz-Target`, which S3 has not."""
    if target is None:
        bucket, _, key = path.partition("?")[0].lstrip("/").partition("/")
        parts = key.split("/")[: 2 if key.startswith(OF_A_FUNCTION) else 1]
        folder = f"{'/'.join(parts)}/" if "/" in key else ""
        return frozenset({(OF_OBJECTS.get(method, method), f"{bucket}/{folder}")})
    service, _, operation = target.rpartition(".")
    document: dict[str, Any] = json.loads(body or b"{}")
    match service.split("_")[0]:
        case "AmazonSQS":
            # A task that moves messages names its queue by ARN.
            queue = document.get("QueueUrl") or document["SourceArn"]
            return frozenset({(f"sqs:{operation.removesuffix('Batch')}", queue)})
        case "secretsmanager":
            return frozenset({(f"secretsmanager:{operation}", document["SecretId"])})
        case "AWSEvents":
            return frozenset((f"events:{operation}", entry["EventBusName"]) for entry in document["Entries"])
        case "DynamoDB":
            return frozenset((f"dynamodb:{action}", table) for action, table in _of_tables(operation, document))
    return frozenset({(target, "")})


def _of_tables(operation: str, document: dict[str, Any]) -> list[Needed]:
    if "TransactItems" in document:
        return [
            (IN_A_TRANSACTION[kind], item["TableName"]) for entry in document["TransactItems"] for kind, item in entry.items()
        ]
    if "RequestItems" in document:
        return [(operation, table) for table in document["RequestItems"]]
    index = f"/index/{document['IndexName']}" if "IndexName" in document else ""
    return [(operation, document["TableName"] + index)]
