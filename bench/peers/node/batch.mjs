// Taking records of a queue, and telling SQS which of them must come again.

import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { config } from './relay.mjs';

// Logs why a record failed; the library reports only that it did.
class Processor extends BatchProcessor {
  failureHandler(record, error) {
    console.error(`record ${record.messageId} failed`, error);
    return super.failureHandler(record, error);
  }
}

// The handler of a function that SQS invokes, from what it does with one record.
export const batchHandler = (recordHandler) => {
  const processor = new Processor(EventType.SQS);
  return (event, context) => {
    config.registerLambdaContext(context);
    return processPartialResponse(event, recordHandler, processor, { context, throwOnFullBatchFailure: false });
  };
};
