"""The processor as it is usually written in Python: batch and idempotency of Powertools for AWS Lambda."""

import json
import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

logger = Logger(service="processor", level="WARNING")
store = DynamoDBPersistenceLayer(table_name=os.environ["EVENTS_TABLE"])
config = IdempotencyConfig(event_key_jmespath="id", expires_after_seconds=7 * 24 * 3600)
processor = BatchProcessor(event_type=EventType.SQS)


@idempotent_function(data_keyword_argument="event", config=config, persistence_store=store)
def keep(event):
    return {"id": event["id"], "type": event["event_name"]}


def handle(record):
    return keep(event=json.loads(json.loads(record.body)["body"]["text"]))


def handler(event, context):
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
