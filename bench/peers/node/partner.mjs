// Taking a partner's notification in: check it, enqueue it once, acknowledge it.

import { createHash, timingSafeEqual } from 'node:crypto';
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { config, digest, once } from './relay.mjs';

const MAX_BODY_BYTES = 256 * 1024;
const HEADERS = { 'content-type': 'application/json' };

const sqs = new SQSClient({});

// The request is not taken: with which status, and why.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// A string or number that must not be empty, as a string.
export const filledText = (payload, field) => {
  const value = payload[field];
  if (value === undefined) throw new Refused(400, `field ${field} is missing`);
  if (value === '' || (typeof value !== 'string' && typeof value !== 'number')) {
    throw new Refused(400, `field ${field} must be a non-empty string`);
  }
  return String(value);
};

const send = once(async (message, _key) => {
  const command = new SendMessageCommand({
    QueueUrl: process.env.NOTIFICATIONS_QUEUE_URL,
    MessageBody: JSON.stringify(message),
  });
  return (await sqs.send(command)).MessageId;
});

const answer = (statusCode, body) => ({ statusCode, headers: HEADERS, body });

const payloadOf = ({ body, isBase64Encoded }) => {
  const text = isBase64Encoded ? Buffer.from(body ?? '', 'base64').toString() : (body ?? '');
  if (Buffer.byteLength(text) > MAX_BODY_BYTES) throw new Refused(413, 'the body is larger than 256 KiB');
  let payload;
  try {
    payload = JSON.parse(text);
  } catch {
    throw new Refused(400, 'the body is not valid JSON');
  }
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) {
    throw new Refused(400, 'the body must be a JSON object');
  }
  return payload;
};

// The handler of a partner's endpoint. `acknowledgement` is byte for byte what the partner documents, `refusal` makes
// a body of the partner's own shape, and `orderId` checks the payload's fields and tells which order it is about.
export const intake = ({ partner, kind, tokenHashes, acknowledgement, refusal, orderId }) => {
  const hashes = tokenHashes.split(',').map((hash) => Buffer.from(hash, 'hex'));

  const checkToken = (event) => {
    const presented = createHash('sha256').update(event.pathParameters?.token ?? '').digest();
    // Each one, whichever it is.
    const matching = hashes.filter((hash) => hash.length === presented.length && timingSafeEqual(hash, presented));
    if (matching.length === 0) throw new Refused(401, 'not authorized');
  };

  const refuse = (status, message) => answer(status, JSON.stringify(refusal(status, message)));

  return async (event, context) => {
    config.registerLambdaContext(context);
    try {
      checkToken(event);
      const payload = payloadOf(event);
      const order_id = orderId(payload);
      await send({ partner, kind, order_id, payload }, `${partner}/${order_id}/${kind}/${digest(payload)}`);
    } catch (error) {
      if (error instanceof Refused) return refuse(error.status, error.message);
      console.error('notification not enqueued; the partner must send it again', error);
      return refuse(500, 'could not be stored; send it again');
    }
    return answer(200, acknowledgement);
  };
};
