// Tells Fliggy, through TOP, that a ship order's tickets were issued.

import http from 'node:http';
import https from 'node:https';
import { stringify } from 'node:querystring';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
// Only this half of the SDK: its index loads the message client too.
import topsdk from 'ali-topsdk/lib/api/topClient.js';
import { batchHandler } from './batch.mjs';
import { once } from './relay.mjs';

const GATEWAY = new URL(process.env.TOP_GATEWAY_URL);
const METHOD = 'alitrip.ship.order.notify';
const RESPONSE = 'alitrip_ship_order_notify_response';
const TIMEOUT_MS = 10_000;
const SECRET_MAX_AGE_MS = 5 * 60 * 1000;
const CHINA_MS = 8 * 60 * 60 * 1000;

const secrets = new SecretsManagerClient({});
const { Agent, request } = GATEWAY.protocol === 'https:' ? https : http;
const agent = new Agent({ keepAlive: true, noDelay: true });

export const handler = batchHandler(async ({ body }) => {
  const { alitrip_order_id, success } = JSON.parse(body);
  await notify(body, `${alitrip_order_id}-${success ? 'issued' : 'failed'}`);
});

const notify = once(async (confirmBook, _key) => {
  const answer = JSON.parse(await post(form(confirmBook, await credentials())));
  const response = answer[RESPONSE];
  if (String(response?.ret_success) !== 'true') {
    const { code, sub_code } = answer.error_response ?? {};
    throw new Error(`TOP refused: code ${code}, sub_code ${sub_code}`);
  }
  return response.request_id ?? null;
});

const form = (confirmBook, { app_key, session, client }) => {
  const parameters = {
    method: METHOD,
    app_key,
    session,
    timestamp: new Date(Date.now() + CHINA_MS).toISOString().slice(0, 19).replace('T', ' '),
    format: 'json',
    v: '2.0',
    sign_method: 'md5',
    confirm_book_r_q: confirmBook,
  };
  parameters.sign = client.sign(parameters);
  return stringify(parameters);
};

const post = (body) =>
  new Promise((resolve, reject) => {
    const options = {
      agent,
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded;charset=utf-8',
        'content-length': Buffer.byteLength(body),
        accept: 'application/json',
      },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    };
    request(GATEWAY, options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    })
      .on('error', reject)
      .end(body);
  });

// The promise is kept, so that records of one batch share one request.
let cached = { value: undefined, until: 0 };

const credentials = () => {
  if (Date.now() >= cached.until) {
    const fresh = { value: readCredentials(), until: Date.now() + SECRET_MAX_AGE_MS };
    fresh.value.catch(() => {
      fresh.until = 0;
    });
    cached = fresh;
  }
  return cached.value;
};

const readCredentials = async () => {
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: process.env.TOP_SECRET_ID }));
  const { app_key, app_secret, session } = JSON.parse(SecretString);
  const client = new topsdk.TopClient({ appkey: app_key, appsecret: app_secret, url: GATEWAY.href });
  return { app_key, session, client };
};
