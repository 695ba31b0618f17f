"""Handles the records of a queue, and reports the failed ones to SQS for another delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

import relay


class _Processor(BatchProcessor):
    """Logs why a record failed, because the library reports only that it failed."""

    def failure_handler(self, record: SQSRecord, exception: Any) -> Any:
        logging.error("record %s failed", record.message_id, exc_info=exception)
        return super().failure_handler(record, exception)


def handler(record_handler: Callable[[SQSRecord], None]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Turns a handler for one record into the handler of a function that SQS invokes."""
    processor = _Processor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        relay.config.register_lambda_context(context)
        return process_partial_response(
            event=event, record_handler=record_handler, processor=processor, context=context
        )

    return handle
