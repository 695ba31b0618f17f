"""Clients for the local AWS. With dummy credentials and one local endpoint, they cannot reach a real account."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

REGION = "us-east-1"
_KEY_ID = "test"
_SECRET = "test"
_HTTP_TIMEOUT_SECONDS = 60


def forget_own_account() -> None:
    """Removes the user's AWS settings from this process and from every process it starts.

    Nothing here may use a profile or endpoint that the shell has set, or fail without one.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "SAM_CLI_"))]:
        del os.environ[name]
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def settings(endpoint: str) -> dict[str, str]:
    """Environment variables that point any AWS program at the local stack."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _KEY_ID,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_DEFAULT_REGION": REGION,
    }


class LocalAws:
    """Clients for the AWS APIs at one local endpoint."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._session = boto3.Session(_KEY_ID, _SECRET, region_name=REGION)
        self._credentials = Credentials(_KEY_ID, _SECRET)
        self.client = cache(self._client)

    def _client(self, service: str) -> Any:
        return self._session.client(
            service,
            endpoint_url=self.endpoint,
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=64),
        )

    def signed_request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        """Sends a request with an IAM signature for API Gateway."""
        request = AWSRequest(method, url, headers=dict(headers), data=body)
        SigV4Auth(self._credentials, "execute-api", REGION).add_auth(request)
        return requests.request(method, url, data=body, headers=dict(request.headers), timeout=_HTTP_TIMEOUT_SECONDS)

    def stack_outputs(self, stack_name: str) -> dict[str, str]:
        """The outputs of a deployed CloudFormation stack."""
        stacks = self.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}

    def record(self, table: str, pk: str, sk: str) -> dict[str, Any] | None:
        """One item of a table in DynamoDB JSON, or None."""
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        return self.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")

    def records(self, table: str, pk: str) -> list[dict[str, Any]]:
        """All items of a partition in DynamoDB JSON."""
        query = self.client("dynamodb").get_paginator("query")
        pages = query.paginate(
            TableName=table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=True,
        )
        return [item for page in pages for item in page["Items"]]

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """All messages of a queue, visible or not. Reads MiniStack's inspection page, so it receives none of them."""
        answer = requests.get(
            f"{self.endpoint}/_ministack/sqs/messages", params={"QueueUrl": queue_url}, timeout=_HTTP_TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return [
            message
            for regions in answer.json()["messages"].values()
            for queues in regions.values()
            for messages in queues.values()
            for message in messages
        ]

    def log_lines(self) -> dict[str, list[str]]:
        """Every line of every CloudWatch log group, by the group's name."""
        logs = self.client("logs")
        groups = [
            group["logGroupName"]
            for page in logs.get_paginator("describe_log_groups").paginate()
            for group in page["logGroups"]
        ]
        return {group: list(self._lines_of(group)) for group in groups}

    def _lines_of(self, group: str) -> Iterator[str]:
        """Every line of a log group, one page of log streams at a time.

        MiniStack returns at most 10,000 lines for a request, without a token for the rest. It starts a log stream for
        each invocation, so the lines of a page are far fewer.
        """
        logs = self.client("logs")
        for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=group):
            if names := [stream["logStreamName"] for stream in page["logStreams"]]:
                answer = logs.filter_log_events(logGroupName=group, logStreamNames=names)
                yield from (event["message"] for event in answer["events"])
