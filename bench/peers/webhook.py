"""Machnet's webhook as it is usually written in Python: boto3, and the logger of Powertools for AWS Lambda."""

import base64
import hashlib
import hmac
import json
import os
import time

import boto3
from aws_lambda_powertools import Logger

logger = Logger(service="machnet", level="WARNING")
sqs = boto3.client("sqs")
SECRET = os.environ["SECRET"].encode()


def handler(event, context):
    body = base64.b64decode(event["body"]) if event.get("isBase64Encoded") else event["body"].encode()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, event["headers"].get("x-raas-webhook-signature", "")):
        return {"statusCode": 401}
    message = {"provider": "machnet", "body": body.decode(), "receivedAt": time.time()}
    sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=json.dumps(message))
    return {"statusCode": 200}
