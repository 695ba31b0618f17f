"""Tests the deployed API against its description: valid requests must be accepted, and answers must match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, settings
from requests.auth import AuthBase
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CoverageScenario
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

#: Generated requests for each route, the same ones in each run.
_EXAMPLES = 8
_KEY_IS_TAKEN = 422
_NOT_PAUSED = 409
_ANY = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

#: Checks that fail for known reasons.
_EXPLAINED = [
    # MiniStack checks that a request has a signature, not that it is valid. Another test covers unsigned requests.
    ignored_auth,
    # The test signs every request, even one that was generated without a signature or another header.
    missing_required_header,
]


#: Schema violations that are tolerated: a number instead of a string or a string instead of a number, because partners
#: mix these types; an invalid id if another id names the order; and the lengths of `narrowed`.
_LENIENT_SCENARIOS = {
    CoverageScenario.INCORRECT_TYPE,
    CoverageScenario.INVALID_PATTERN,
    CoverageScenario.STRING_ABOVE_MAX_LENGTH,
    CoverageScenario.STRING_BELOW_MIN_LENGTH,
}
_LENIENT_KEYWORDS = {"type", "pattern", "maxLength", "minLength"}
#: Pushes that the relay reads only in part: other members, entries and vouchers may have any type and value.
_PARTLY_READ = ("/voucher-push", "/cancel-push", "/change-price-push")


def is_put_up_with(case: schemathesis.Case) -> bool:
    """Whether a request that violates the schema on purpose may be accepted."""
    spoilt = case.meta.phase.data
    # The test signs every request, even one without a generated signature. Unknown query parameters are ignored.
    if spoilt.parameter_location in (ParameterLocation.HEADER, ParameterLocation.QUERY):
        return True
    if case.path.endswith(_PARTLY_READ):
        return True
    keywords = {keyword for one in spoilt.mutations for keyword in one.keywords}
    return getattr(spoilt, "scenario", None) in _LENIENT_SCENARIOS or bool(keywords & _LENIENT_KEYWORDS)


#: The names of TOP accounts. This stack has one account.
_ACCOUNT = "^[A-Za-z0-9_-]{1,32}$"
#: Values that a schema cannot exclude and that must not be generated: 29 February, and ids with too many bytes.
_DAY, _DAY_OF_EVERY_MONTH = "(0[1-9]|[12][0-9]|3[01]) ", "(0[1-9]|1[0-9]|2[0-8]) "
_LONGEST_IN_BYTES = {200: 50, 256: 64, 512: 64, 1024: 256}


def narrowed(described: Any) -> Any:
    """The description with narrower limits, which exclude valid values that the API rejects by bytes or calendar."""
    if isinstance(described, list):
        # With a described query, schemathesis counts an unknown query parameter as a fault of the whole request.
        return [narrowed(one) for one in described if not (isinstance(one, dict) and one.get("name") == "account")]
    if not isinstance(described, dict):
        return described
    narrow = {name: narrowed(value) for name, value in described.items()}
    if narrow.get("pattern") == _ACCOUNT:
        narrow["enum"] = ["default", *([None] if "null" in narrow["type"] else [])]
    if isinstance(pattern := narrow.get("pattern"), str):
        narrow["pattern"] = pattern.replace(_DAY, _DAY_OF_EVERY_MONTH)
    # A character has up to four bytes, except in a header.
    if isinstance(longest := narrow.get("maxLength"), int) and not str(narrow.get("pattern")).endswith("[!-~]+$"):
        narrow["maxLength"] = _LONGEST_IN_BYTES[longest]
    return narrow


schema = schemathesis.openapi.from_dict(
    narrowed(yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")))
)


class Signed(AuthBase):
    """Signs requests with IAM credentials for API Gateway."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Adds the signature."""
        signed = AWSRequest(request.method, request.url, data=request.body or b"")
        SigV4Auth(Credentials("test", "test"), "execute-api", aws.REGION).add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


@pytest.fixture(scope="module", autouse=True)
def resumed(relay: Relay) -> Iterator[None]:
    """Ends the pauses that generated requests began, for the tests that follow."""
    yield
    for call in ("itinerary-postback", "ticket-verify", "ship-notify", "ship-return-notify", "ticket-refund-notify"):
        answer = relay.resume(call)
        assert answer.status_code in (200, _NOT_PAUSED), answer.text


@schema.parametrize()
@settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_route_matches_its_description(case: schemathesis.Case, relay: Relay) -> None:
    connection = relay.connection
    partner = case.path.split("/")[1]
    if partner in ("tsy", "sctt"):
        url = connection.tsy_url if partner == "tsy" else connection.sctt_url
        case.path_parameters["token"] = url.split("/")[-2]
    if partner == "sctt" and isinstance(case.body, dict):
        signed = relay.signer.sign(case.body)
        # The description says string, although the relay also accepts a number.
        case.body = signed | {"merchant_id": str(signed["merchant_id"])}
    # Only an earlier page returns a valid cursor, so no schema can generate one.
    case.query.pop("after", None)
    answer = case.call(base_url=connection.api_url, auth=Signed())
    # The generated key was already used with another body.
    taken = [positive_data_acceptance] if answer.status_code == _KEY_IS_TAKEN else []
    lenient = [negative_data_rejection] if is_put_up_with(case) else []
    # For a method that is not one of API Gateway's ANY, the gateway answers as for an unknown path.
    rare = [] if case.method.upper() in _ANY else [unsupported_method]
    case.validate_response(answer, excluded_checks=_EXPLAINED + taken + lenient + rare)
