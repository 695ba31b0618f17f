// How long the SDK takes for one signature: reads the request from the file named, prints one line of JSON.

import { readFileSync } from 'node:fs';
import topsdk from 'ali-topsdk/lib/api/topClient.js';

const WARM_UP_NANOSECONDS = 300e6;
const BATCHES = 31;
const BATCH_NANOSECONDS = 40e6;

const { secret, parameters } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const client = new topsdk.TopClient({ appkey: 'none', appsecret: secret });
const now = () => Number(process.hrtime.bigint());

const batch = (repeats) => {
  const start = now();
  for (let i = 0; i < repeats; i += 1) client.sign(parameters);
  return (now() - start) / repeats;
};

// Warms up, which also tells how many signatures make a batch.
const start = now();
let pace = batch(1);
while (now() - start < WARM_UP_NANOSECONDS) pace = batch(1000);

const repeats = Math.max(1, Math.round(BATCH_NANOSECONDS / pace));
const batches = Array.from({ length: BATCHES }, () => batch(repeats)).sort((a, b) => a - b);
console.log(JSON.stringify({ sign: client.sign(parameters), nanoseconds: batches[(BATCHES - 1) / 2] }));
