// The loop of a Lambda function, as AWS's client of the Runtime API runs it and without what that does besides:
// the native half of AWS's client has to be compiled where it is installed.

import http from 'node:http';

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const ROOT = '/2018-06-01/runtime';
const agent = new http.Agent({ keepAlive: true, noDelay: true, maxSockets: 1 });

const call = (method, path, body) =>
  new Promise((resolve, reject) => {
    const headers =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = http.request({ agent, hostname, port, method, path: ROOT + path, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        if (response.statusCode < 300) resolve({ headers: response.headers, text });
        else reject(new Error(`${method} ${path} was answered ${response.statusCode}`));
      });
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });

const described = (error) =>
  JSON.stringify({
    errorType: error?.name ?? 'Error',
    errorMessage: error?.message ?? String(error),
    trace: error?.stack?.split('\n') ?? [],
  });

const load = async (name) => {
  try {
    return (await import(`./${name}.mjs`)).handler;
  } catch (error) {
    await call('POST', '/init/error', described(error));
    throw error;
  }
};

const name = process.argv[2];
const functionName = process.env.AWS_LAMBDA_FUNCTION_NAME ?? name;
const handler = await load(name);

for (;;) {
  const { headers, text } = await call('GET', '/invocation/next');
  const awsRequestId = headers['lambda-runtime-aws-request-id'];
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const context = {
    awsRequestId,
    functionName,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  let answer;
  try {
    answer = JSON.stringify(await handler(JSON.parse(text), context)) ?? 'null';
  } catch (error) {
    console.error(error);
    await call('POST', `/invocation/${awsRequestId}/error`, described(error));
    continue;
  }
  await call('POST', `/invocation/${awsRequestId}/response`, answer);
}
