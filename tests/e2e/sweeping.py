"""The sweep without its waits: the five minutes of grace, and the schedule's minute."""

from __future__ import annotations

from botocore.exceptions import ClientError

from relay import Relay


def let_grace_pass(relay: Relay, pk: str) -> None:
    """Has the next sweep look at a record, if it is still unfinished; nothing else of it is touched."""
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
    """Invokes the function of the sweep; returns what went wrong, if anything did."""
    lambdas = relay.aws.client("lambda")
    names = [
        function["FunctionName"]
        for page in lambdas.get_paginator("list_functions").paginate()
        for function in page["Functions"]
    ]
    [name] = [name for name in names if "SweepFunction" in name]
    answer = lambdas.invoke(FunctionName=name, Payload=b"{}")
    return answer["Payload"].read().decode() if "FunctionError" in answer else None
