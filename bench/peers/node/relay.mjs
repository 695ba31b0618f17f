// What all four functions share: the DynamoDB client, and steps that are taken once.

import { createHash } from 'node:crypto';
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';

const DAY_SECONDS = 24 * 60 * 60;

export const dynamodb = new DynamoDBClient({});
export const config = new IdempotencyConfig({ expiresAfterSeconds: DAY_SECONDS });
const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: process.env.IDEMPOTENCY_TABLE,
  awsSdkV3Client: dynamodb,
});

// Makes `step` idempotent on its second argument, the key.
export const once = (step) => makeIdempotent(step, { persistenceStore, config, dataIndexArgument: 1 });

// The same for a notification that is sent again, whatever the order of its members. `sign` and `request_time` differ
// from one delivery to the next.
export const digest = ({ sign, request_time, ...lasting }) =>
  createHash('sha256').update(JSON.stringify(lasting, withSortedMembers)).digest('hex');

const withSortedMembers = (_, value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, value[name]]))
    : value;
