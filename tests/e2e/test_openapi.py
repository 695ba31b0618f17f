"""The description of the API, put to the deployed API: what it allows must be taken, and every answer be as it says."""

from __future__ import annotations

import re
from typing import Any

import requests
import schemathesis
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, settings
from requests.auth import AuthBase
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)

import aws
from layout import ROOT
from relay import Relay

#: How many requests of each route are drawn; the same ones each time.
_EXAMPLES = 8
_KEY_IS_TAKEN = 422
#: MiniStack decodes a path before it looks for its route, so that a segment may not hold what ends one.
_ENDS_A_SEGMENT = re.compile(r"[/?#%\\]|^\.+$")

#: Checks that fail for a reason.
_EXPLAINED = [
    # A number where a text belongs, and the other way round, is put up with: partners' types are what they are.
    negative_data_rejection,
    # MiniStack looks whether there is a signature, not whether it is right; the template's test is that there is one.
    ignored_auth,
    # Each request is signed below, also one that is drawn without its signature or another header.
    missing_required_header,
    # API Gateway answers 403 for a method that has no route, and MiniStack 404; neither says 405.
    unsupported_method,
]


#: What a schema cannot say, and so must not be drawn: the 29th of February, and ids of 256 characters and more bytes.
_DAY, _DAY_OF_EVERY_MONTH = "(0[1-9]|[12][0-9]|3[01]) ", "(0[1-9]|1[0-9]|2[0-8]) "
_LONGEST_ID, _LONGEST_OF_FOUR_BYTES = (256, 512), 64


def narrowed(described: Any) -> Any:
    """The description without what is allowed by it and yet refused, with a reason, by its limits in bytes and days."""
    if isinstance(described, list):
        return [narrowed(one) for one in described]
    if not isinstance(described, dict):
        return described
    narrow = {name: narrowed(value) for name, value in described.items()}
    if isinstance(pattern := narrow.get("pattern"), str):
        narrow["pattern"] = pattern.replace(_DAY, _DAY_OF_EVERY_MONTH)
        # Not a header's, which has bytes only.
        if narrow.get("maxLength") in _LONGEST_ID and pattern.startswith("^[^"):
            narrow["maxLength"] = _LONGEST_OF_FOUR_BYTES
    return narrow


schema = schemathesis.openapi.from_dict(
    narrowed(yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")))
)


class Signed(AuthBase):
    """Signs requests as IAM callers of API Gateway do."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds the signature."""
        signed = AWSRequest(request.method, request.url, data=request.body or b"")
        SigV4Auth(Credentials("test", "test"), "execute-api", aws.REGION).add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


@schema.parametrize()
@settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_route_is_as_described(case: schemathesis.Case, relay: Relay) -> None:
    connection = relay.connection
    partner = case.path.split("/")[1]
    if partner in ("tsy", "sctt"):
        url = connection.tsy_url if partner == "tsy" else connection.sctt_url
        case.path_parameters["token"] = url.split("/")[-2]
    if partner == "sctt" and isinstance(case.body, dict):
        case.body = relay.signer.sign(case.body)
    # It is what an earlier page gave, which no schema can say.
    case.query.pop("after", None)
    for name, value in case.path_parameters.items():
        case.path_parameters[name] = _ENDS_A_SEGMENT.sub("_", str(value))
    answer = case.call(base_url=connection.api_url, auth=Signed())
    # Another body under a key that was drawn before.
    taken = [positive_data_acceptance] if answer.status_code == _KEY_IS_TAKEN else []
    case.validate_response(answer, excluded_checks=_EXPLAINED + taken)
