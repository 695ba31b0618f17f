// Executes or signs requests with ali-topsdk, which is installed in the working folder. Reads a list of jobs from
// standard input and writes the list of their results, both as JSON.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { ApiClient } = createRequire(`${process.cwd()}/`)('ali-topsdk');

const execute = ({ url, app_key, app_secret, session, method, parameters, file }) =>
  new Promise((resolve) => {
    const client = new ApiClient({ url, appkey: app_key, appsecret: app_secret });
    const sent = { ...parameters };
    if (session !== null) sent.session = session;
    if (file !== null && file.content !== null) sent[file.name] = Buffer.from(file.content);
    client.execute(method, sent, (error, answer) => resolve(error ? { error } : { answer }));
  });

// The constructor requires a secret, but tests also sign with an empty one.
const sign = ({ app_secret, parameters }) => {
  const client = new ApiClient({ appkey: 'none', appsecret: 'none' });
  client.appsecret = app_secret;
  return { sign: client.sign(parameters) };
};

const results = [];
for (const job of JSON.parse(readFileSync(0, 'utf8'))) {
  results.push(job.do === 'sign' ? sign(job) : await execute(job));
}
console.log(JSON.stringify(results));
