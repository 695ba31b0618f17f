"""Executes or signs requests with topsdk, which is on Python's path.

Reads a list of jobs from standard input and writes the list of their results, both as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import top
from top.api.base import FileItem, RestApi, TopException

_TIMEOUT_SECONDS = 10


def _request_class(method: str, files: list[str]) -> type[RestApi]:
    """The request class of an API, with what topsdk's generated ones define."""
    members = {"getapiname": lambda _: method, "getMultipartParas": lambda _: files}
    return type(f"{method.title().replace('.', '')}Request", (RestApi,), members)


def _execute(job: dict[str, Any]) -> dict[str, Any]:
    url, file = urlsplit(job["url"]), job["file"]
    request = _request_class(job["method"], [file["name"]] if file else [])(url.hostname, url.port)
    request.set_app_info(top.appinfo(job["app_key"], job["app_secret"]))
    for name, value in job["parameters"].items():
        # topsdk expects structs as JSON. Its multipart bodies are Latin-1, so the JSON is escaped there.
        struct = isinstance(value, (dict, list))
        setattr(request, name, json.dumps(value, ensure_ascii=file is not None) if struct else value)
    if file:
        content = file["content"]
        setattr(request, file["name"], content and FileItem("file.txt", io.BytesIO(content.encode())))
    now = time.time() + job["clock_skew_seconds"]
    try:
        with mock.patch("time.time", return_value=now):
            return {"answer": request.getResponse(job["session"], _TIMEOUT_SECONDS)}
    except TopException as error:
        told = {"code": error.errorcode, "msg": error.message, "sub_code": error.subcode, "sub_msg": error.submsg}
        return {"error": {name: value for name, value in told.items() if value is not None}}


def _run(job: dict[str, Any]) -> dict[str, Any]:
    if job["do"] == "sign":
        return {"sign": top.sign(job["app_secret"], job["parameters"])}
    return _execute(job)


if __name__ == "__main__":
    print(json.dumps([_run(job) for job in json.load(sys.stdin)]))
