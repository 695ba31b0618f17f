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

#: How many requests of each route are drawn; the same ones each time.
_EXAMPLES = 8
_KEY_IS_TAKEN = 422
#: MiniStack decodes a path before it looks for its route, so that a segment may not hold what ends one.
_ENDS_A_SEGMENT = re.compile(r"[/?#%\\]|^\.+$")

#: Checks that fail for a reason.
_EXPLAINED = [
    # MiniStack looks whether there is a signature, not whether it is right; the template's test is that there is one.
    ignored_auth,
    # Each request is signed below, also one that is drawn without its signature or another header.
    missing_required_header,
    # API Gateway answers 403 for a method that has no route, and MiniStack 404; neither says 405.
    unsupported_method,
]


#: How a request may be spoilt and be taken nevertheless. A number where a text belongs, and the other way round:
#: partners' types are what they are. An id that is none, where another names the order. And the lengths of `narrowed`.
_LENIENT_SCENARIOS = {
    CoverageScenario.INCORRECT_TYPE,
    CoverageScenario.INVALID_PATTERN,
    CoverageScenario.STRING_ABOVE_MAX_LENGTH,
    CoverageScenario.STRING_BELOW_MIN_LENGTH,
}
_LENIENT_KEYWORDS = {"type", "pattern", "maxLength", "minLength"}
#: Pushes of which only a part is read: another member, entry or voucher may be of any type or value.
_PARTLY_READ = ("/voucher-push", "/cancel-push", "/change-price-push")


def is_put_up_with(case: schemathesis.Case) -> bool:
    """Whether a request that was spoilt on purpose may be taken nevertheless."""
    spoilt = case.meta.phase.data
    # Each request is signed below, also one that was to lack its signature; and a query is read for what is known.
    if spoilt.parameter_location in (ParameterLocation.HEADER, ParameterLocation.QUERY):
        return True
    if case.path.endswith(_PARTLY_READ):
        return True
    keywords = {keyword for one in spoilt.mutations for keyword in one.keywords}
    return getattr(spoilt, "scenario", None) in _LENIENT_SCENARIOS or bool(keywords & _LENIENT_KEYWORDS)


#: What a schema cannot say, and so must not be drawn: the 29th of February, and ids of 256 characters and more bytes.
_DAY, _DAY_OF_EVERY_MONTH = "(0[1-9]|[12][0-9]|3[01]) ", "(0[1-9]|1[0-9]|2[0-8]) "
_LONGEST_IN_BYTES = {256: 64, 512: 64, 1024: 256}


def narrowed(described: Any) -> Any:
    """The description without what is allowed by it and yet refused, with a reason, by its limits in bytes and days."""
    if isinstance(described, list):
        return [narrowed(one) for one in described]
    if not isinstance(described, dict):
        return described
    narrow = {name: narrowed(value) for name, value in described.items()}
    if isinstance(pattern := narrow.get("pattern"), str):
        narrow["pattern"] = pattern.replace(_DAY, _DAY_OF_EVERY_MONTH)
    # A character has up to four bytes, but for a header's.
    if isinstance(longest := narrow.get("maxLength"), int) and narrow.get("pattern") != "^[!-~]+$":
        narrow["maxLength"] = _LONGEST_IN_BYTES[longest]
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
        signed = relay.signer.sign(case.body)
        # As the description has it, though a number is taken, too.
        case.body = signed | {"merchant_id": str(signed["merchant_id"])}
    # It is what an earlier page gave, which no schema can say.
    case.query.pop("after", None)
    for name, value in case.path_parameters.items():
        case.path_parameters[name] = _ENDS_A_SEGMENT.sub("_", str(value))
    answer = case.call(base_url=connection.api_url, auth=Signed())
    # Another body under a key that was drawn before.
    taken = [positive_data_acceptance] if answer.status_code == _KEY_IS_TAKEN else []
    lenient = [negative_data_rejection] if is_put_up_with(case) else []
    case.validate_response(answer, excluded_checks=_EXPLAINED + taken + lenient)
