// Receives events from the queue behind the event bus. Counts them by type, and keeps the present state of each entity.
//
// Replace the count by your own work. An event may come more than once and in any order.

import { ConditionalCheckFailedException, DynamoDBClient, TransactionCanceledException } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { DynamoDBDocumentClient, PutCommand, TransactWriteCommand } from "@aws-sdk/lib-dynamodb";
import type { SQSBatchItemFailure, SQSBatchResponse, SQSEvent } from "aws-lambda";

/** What is used here of an envelope; schemas/envelope.json has all of it. */
interface Envelope {
  id: string;
  source: string;
  type: string;
  outcome: "stored" | "repeat" | "conflict";
  conflictwith?: string;
  deliveryid: string;
  entity?: string;
  entityversion?: number;
  entitychange?: "created" | "changed" | "deleted" | "merged" | "revived" | "late";
  mergedinto?: string;
  entitycontent?: string;
  entitycontentref?: string;
  data?: unknown;
  data_base64?: string;
  dataref?: string;
}

const TableName = process.env.TABLE;
const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient(), { marshallOptions: { removeUndefinedValues: true } });
const s3 = new S3Client();

export async function handler(batch: SQSEvent): Promise<SQSBatchResponse> {
  const batchItemFailures: SQSBatchItemFailure[] = [];
  for (const record of batch.Records) {
    try {
      await handle(JSON.parse(record.body).detail);
    } catch (error) {
      console.error(`message ${record.messageId} is not handled and will be delivered again`, error);
      batchItemFailures.push({ itemIdentifier: record.messageId });
    }
  }
  return { batchItemFailures };
}

async function handle(envelope: Envelope): Promise<void> {
  if (envelope.entity !== undefined) {
    await keepNewest(envelope);
  } else if (envelope.outcome === "stored") {
    await countOnce(envelope);
  } else if (envelope.outcome === "conflict") {
    await setAside(envelope);
  } else if (envelope.outcome !== "repeat") {
    throw new Error(`unknown outcome ${envelope.outcome}`);
  }
  // The event that a repeat names in `repeatof` has, or will have, the same effect.
}

/**
 * The mark and the work are one transaction: a crash leaves neither, and the event is delivered again. A mark that is written before the
 * work loses the event if the function dies in between.
 */
async function countOnce(envelope: Envelope): Promise<void> {
  const { source, id, type } = envelope;
  const mark = {
    TableName,
    Item: { source, item: `handled#${id}` },
    ConditionExpression: "attribute_not_exists(#item)",
    ExpressionAttributeNames: { "#item": "item" },
  };
  const work = {
    TableName,
    Key: { source, item: `total#${type}` },
    UpdateExpression: "ADD events :one, bytes :bytes",
    ExpressionAttributeValues: { ":one": 1, ":bytes": (await dataOf(envelope)).length },
  };
  try {
    await dynamodb.send(new TransactWriteCommand({ TransactItems: [{ Put: mark }, { Update: work }] }));
  } catch (error) {
    const isKnown =
      error instanceof TransactionCanceledException && error.CancellationReasons?.[0]?.Code === "ConditionalCheckFailed";
    if (!isKnown) throw error;
  }
}

/** The version makes this idempotent without a mark. A deleted entity keeps its item, or an older event would revive it. */
async function keepNewest(envelope: Envelope): Promise<void> {
  const { source, entity, entityversion: version, entitychange: change, mergedinto } = envelope;
  if (change === "late") return;
  const state = change === "deleted" || change === "merged" ? {} : stateOf(envelope);
  try {
    await dynamodb.send(
      new PutCommand({
        TableName,
        Item: { source, item: `entity#${entity}`, version, change, mergedinto, ...state },
        ConditionExpression: "attribute_not_exists(version) OR version < :version",
        ExpressionAttributeValues: { ":version": version },
      }),
    );
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}

/** Other content under an id that is known: a person decides which one holds. */
async function setAside({ source, id, conflictwith, deliveryid }: Envelope): Promise<void> {
  await dynamodb.send(new PutCommand({ TableName, Item: { source, item: `conflict#${id}`, conflictwith, deliveryid } }));
}

/** The entity's content as JSON, or the address of a large one. */
function stateOf({ entitycontent, entitycontentref, dataref, data }: Envelope): { content?: string; contentref?: string } {
  if (entitycontent !== undefined) return { content: entitycontent };
  const contentref = entitycontentref ?? dataref;
  return contentref !== undefined ? { contentref } : { content: JSON.stringify(data) };
}

/** The data as bytes. Large data are an object in the intake's bucket. */
async function dataOf({ dataref, data_base64, data }: Envelope): Promise<Uint8Array> {
  if (dataref !== undefined) {
    const { hostname: Bucket, pathname } = new URL(dataref);
    const object = await s3.send(new GetObjectCommand({ Bucket, Key: pathname.slice(1) }));
    return object.Body!.transformToByteArray();
  }
  if (data_base64 !== undefined) return Buffer.from(data_base64, "base64");
  return Buffer.from(JSON.stringify(data));
}
