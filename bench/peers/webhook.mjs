// Machnet's webhook as it is usually written in JavaScript: the AWS SDK v3, bundled.
import { createHmac, timingSafeEqual } from "node:crypto";
import { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";
import { serve } from "./runtime.mjs";

// The server that stands in for SQS knows no digests, and is not at the queue's address.
const sqs = new SQSClient({ md5: false, useQueueUrlAsEndpoint: false });
const secret = process.env.SECRET;

await serve(async (event) => {
  const body = Buffer.from(event.body, event.isBase64Encoded ? "base64" : "utf8");
  const expected = createHmac("sha256", secret).update(body).digest();
  const given = Buffer.from(event.headers["x-raas-webhook-signature"] ?? "", "hex");
  if (given.length !== expected.length || !timingSafeEqual(expected, given)) return { statusCode: 401 };
  const message = { provider: "machnet", body: body.toString("utf8"), receivedAt: Date.now() };
  await sqs.send(new SendMessageCommand({ QueueUrl: process.env.QUEUE_URL, MessageBody: JSON.stringify(message) }));
  return { statusCode: 200 };
});
