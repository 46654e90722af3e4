"""Receives events from the queue behind the event bus. Counts them by type, and keeps the present state of each entity.

Replace the count by your own work. An event may come more than once and in any order.
"""

import base64
import json
import logging
import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
dynamodb = table.meta.client
s3 = boto3.client("s3")
log = logging.getLogger()


def handler(batch, context):
    failures = []
    for record in batch["Records"]:
        try:
            handle(json.loads(record["body"])["detail"])
        except Exception:
            log.exception("message %s is not handled and will be delivered again", record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def handle(envelope):
    if "entity" in envelope:
        keep_newest(envelope)
    elif envelope["outcome"] == "stored":
        count_once(envelope)
    elif envelope["outcome"] == "conflict":
        set_aside(envelope)
    elif envelope["outcome"] != "repeat":
        raise ValueError(f"unknown outcome {envelope['outcome']}")
    # The event that a repeat names in `repeatof` has, or will have, the same effect.


def count_once(envelope):
    """The mark and the work are one transaction: a crash leaves neither, and the event is delivered again. A mark that is written
    before the work loses the event if the function dies in between."""
    mark = {"source": envelope["source"], "item": f"handled#{envelope['id']}"}
    total = {"source": envelope["source"], "item": f"total#{envelope['type']}"}
    put_mark = {"TableName": table.name, "Item": mark, "ConditionExpression": "attribute_not_exists(#item)"}
    work = {
        "TableName": table.name,
        "Key": total,
        "UpdateExpression": "ADD events :one, bytes :bytes",
        "ExpressionAttributeValues": {":one": 1, ":bytes": len(data_of(envelope))},
    }
    try:
        dynamodb.transact_write_items(
            TransactItems=[{"Put": put_mark | {"ExpressionAttributeNames": {"#item": "item"}}}, {"Update": work}]
        )
    except dynamodb.exceptions.TransactionCanceledException as error:
        if error.response["CancellationReasons"][0]["Code"] != "ConditionalCheckFailed":
            raise


def keep_newest(envelope):
    """The version makes this idempotent without a mark. A deleted entity keeps its item, or an older event would revive it."""
    if envelope["entitychange"] == "late":
        return
    item = {
        "source": envelope["source"],
        "item": f"entity#{envelope['entity']}",
        "version": envelope["entityversion"],
        "change": envelope["entitychange"],
    }
    if envelope["entitychange"] == "merged":
        item["mergedinto"] = envelope["mergedinto"]
    elif envelope["entitychange"] != "deleted":
        item |= state_of(envelope)
    try:
        table.put_item(
            Item=item,
            ConditionExpression="attribute_not_exists(version) OR version < :version",
            ExpressionAttributeValues={":version": envelope["entityversion"]},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        pass


def set_aside(envelope):
    """Other content under an id that is known: a person decides which one holds."""
    conflict = {"source": envelope["source"], "item": f"conflict#{envelope['id']}"}
    table.put_item(Item=conflict | {name: envelope[name] for name in ["conflictwith", "deliveryid"]})


def state_of(envelope):
    """The entity's content as JSON, or the address of a large one."""
    for name in ["entitycontent", "entitycontentref", "dataref"]:
        if name in envelope:
            return {"contentref" if name.endswith("ref") else "content": envelope[name]}
    return {"content": json.dumps(envelope["data"])}


def data_of(envelope):
    """The data as bytes. Large data are an object in the intake's bucket."""
    if "dataref" in envelope:
        bucket, _, key = envelope["dataref"].removeprefix("s3://").partition("/")
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    if "data_base64" in envelope:
        return base64.b64decode(envelope["data_base64"])
    return json.dumps(envelope["data"], ensure_ascii=False, separators=(",", ":")).encode()
