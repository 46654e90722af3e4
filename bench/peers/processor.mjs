// The processor as it is usually written in JavaScript: batch and idempotency of Powertools for AWS Lambda (TypeScript), bundled.
import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency";
import { DynamoDBPersistenceLayer } from "@aws-lambda-powertools/idempotency/dynamodb";
import { serve } from "./runtime.mjs";

const store = new DynamoDBPersistenceLayer({ tableName: process.env.EVENTS_TABLE });
const config = new IdempotencyConfig({ eventKeyJmesPath: "id", expiresAfterSeconds: 7 * 24 * 3600 });
const processor = new BatchProcessor(EventType.SQS);

const keep = makeIdempotent(async (event) => ({ id: event.id, type: event.event_name }), { persistenceStore: store, config });

await serve((event, context) => {
  config.registerLambdaContext(context);
  return processPartialResponse(event, (record) => keep(JSON.parse(JSON.parse(record.body).body.text)), processor, { context });
});
