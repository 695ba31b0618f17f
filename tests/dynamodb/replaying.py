"""Repeats recorded requests on an emulator, each on a new table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests
from samtranslator.yaml_helper import yaml_parse

from recording import Answer, Example

#: The name of the table in every recorded request.
TABLE = "relay"
#: The properties that decide how requests are answered.
_DEFINING = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    # Emulators read the service and the region here, and check no signature.
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host;x-amz-target, Signature=0",
}
_TIMEOUT_SECONDS = 30
#: The most items that BatchWriteItem takes.
_BATCH = 25


def table_of(template: Path) -> dict[str, Any]:
    """The definition of the table in the template, as CreateTable takes it."""
    properties = yaml_parse(template.read_text(encoding="utf-8"))["Resources"]["Table"]["Properties"]
    return {name: properties[name] for name in _DEFINING}


class Emulator:
    """An emulator of DynamoDB at an endpoint."""

    def __init__(self, name: str, endpoint: str, table: dict[str, Any]) -> None:
        self.name = name
        self._endpoint = endpoint
        self._table = {"TableName": TABLE, **table}
        self._session = requests.Session()

    def replay(self, example: Example) -> Answer:
        """Puts the items from before the request into a new table, sends the request, and reads the items again."""
        self._send("DeleteTable", {"TableName": TABLE})
        if example.operation != "CreateTable":
            self._performed("CreateTable", self._table)
        self._put(example.before)
        status, body = self._send(example.operation, example.request)
        return Answer(status, body, self._items(json.loads(example.request), example))

    def _put(self, items: list[dict[str, Any]]) -> None:
        for start in range(0, len(items), _BATCH):
            puts = [{"PutRequest": {"Item": item}} for item in items[start : start + _BATCH]]
            body = self._performed("BatchWriteItem", {"RequestItems": {TABLE: puts}})
            if body.get("UnprocessedItems"):
                raise RuntimeError(f"{self.name} could not prepare a replay: it left out items of a batch")

    def _items(self, request: dict[str, Any], example: Example) -> list[dict[str, Any]]:
        """The items that the recording has from after the request: the one with its key, or all of them."""
        if item := request.get("Key", request.get("Item")):
            key = {"pk": item["pk"], "sk": item["sk"]}
            got = self._performed("GetItem", {"TableName": TABLE, "Key": key, "ConsistentRead": True})
            return [got["Item"]] if "Item" in got else []
        found: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        while example.before:
            page = self._performed("Scan", {"TableName": TABLE, "ConsistentRead": True, **start})
            found += page["Items"]
            if not (last := page.get("LastEvaluatedKey")):
                break
            start = {"ExclusiveStartKey": last}
        return found

    def _performed(self, operation: str, request: dict[str, Any]) -> Any:
        status, body = self._send(operation, request)
        if status != 200:
            raise RuntimeError(f"{self.name} could not prepare a replay: {operation} returned {status}: {body}")
        return body

    def _send(self, operation: str, request: str | dict[str, Any]) -> tuple[int, Any]:
        body = request if isinstance(request, str) else json.dumps(request)
        headers = {**_HEADERS, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        answer = self._session.post(self._endpoint, body.encode(), headers=headers, timeout=_TIMEOUT_SECONDS)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {"text": answer.text}
