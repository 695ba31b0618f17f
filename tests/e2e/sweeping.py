"""Runs the sweep without its waits: the grace period of five minutes and the schedule's minute."""

from __future__ import annotations

from botocore.exceptions import ClientError

from relay import Relay


def let_grace_pass(relay: Relay, pk: str) -> None:
    """Makes an unfinished record due for the next sweep; changes nothing else in it."""
    try:
        relay.aws.client("dynamodb").update_item(
            TableName=relay.connection.table,
            Key={"pk": {"S": pk}, "sk": {"S": "record"}},
            UpdateExpression="SET look_at = :long_ago",
            ConditionExpression="attribute_exists(unfinished)",
            ExpressionAttributeValues={":long_ago": {"N": "0"}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise


def sweep(relay: Relay) -> str | None:
    """Invokes the sweep's function; returns its error, or None."""
    lambdas = relay.aws.client("lambda")
    names = [
        function["FunctionName"]
        for page in lambdas.get_paginator("list_functions").paginate()
        for function in page["Functions"]
    ]
    [name] = [name for name in names if "SweepFunction" in name]
    answer = lambdas.invoke(FunctionName=name, Payload=b"{}")
    return answer["Payload"].read().decode() if "FunctionError" in answer else None
