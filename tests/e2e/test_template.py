"""Tests what SAM makes of the template. The local AWS has no versions to replace and no CodeDeploy."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from samtranslator.translator import arn_generator
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from layout import CALLS, FUNCTIONS, ROOT, logical_id, logical_prefix

#: The functions with canary deployments: the endpoints, dispatch and the calls.
CANARIES = {
    "TsyIssueNotify",
    "TsyChangePricePush",
    "TsyChangeResultPush",
    "ScttVoucherPush",
    "ScttCancelPush",
    "Dispatch",
    *map(logical_prefix, CALLS),
}


class NoManagedPolicies:
    """The template names no managed policies, so SAM has none to look up."""

    def load(self) -> dict[str, str]:
        """Returns the names and ARNs of managed policies."""
        return {}


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    """SAM chooses the partition by the region."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def template() -> dict[str, Any]:
    """The template as `sam deploy` sends it: the artifacts are in a bucket."""
    read = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    for resource in read["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    return read


def resources(of: dict[str, Any], kind: str) -> dict[str, Any]:
    """The resources of one type after the transform."""
    translated = transform(copy.deepcopy(of), {}, NoManagedPolicies())
    return {name: one for name, one in translated["Resources"].items() if one["Type"] == kind}


def test_changed_property_publishes_new_versions() -> None:
    before = resources(template(), "AWS::Lambda::Version")
    assert before == resources(template(), "AWS::Lambda::Version")
    changed = template()
    changed["Globals"]["Function"]["EphemeralStorage"] = {"Size": 1024}
    after = resources(changed, "AWS::Lambda::Version")
    assert len(before) == len(after) == len(FUNCTIONS)
    assert not before.keys() & after.keys()


def test_rolled_back_deployment_leaves_no_version_that_blocks_the_next() -> None:
    versions = resources(template(), "AWS::Lambda::Version")
    assert {one["DeletionPolicy"] for one in versions.values()} == {"Delete"}


def test_only_busy_functions_have_canary_deployments() -> None:
    groups = resources(template(), "AWS::CodeDeploy::DeploymentGroup")
    assert {name.removesuffix("FunctionDeploymentGroup") for name in groups} == CANARIES


def test_template_has_no_secret_values() -> None:
    secrets = resources(template(), "AWS::SecretsManager::Secret")
    assert len(secrets) == 2
    # An update of another property could write a value of the template over the one that was filled in.
    assert not any("SecretString" in one["Properties"] for one in secrets.values())


def test_only_functions_that_call_top_are_in_the_vpc() -> None:
    functions = resources(template(), "AWS::Lambda::Function")
    inside = {name for name, one in functions.items() if "VpcConfig" in one["Properties"]}
    assert inside == {logical_id(call) for call in CALLS}


def test_functions_behind_the_api_end_before_api_gateway_gives_up() -> None:
    for resource in template()["Resources"].values():
        events = resource.get("Properties", {}).get("Events", {}).values()
        if any(event["Type"] == "Api" for event in events):
            assert resource["Properties"]["Timeout"] < 29, resource["Properties"]["Description"]


@pytest.mark.parametrize("china", ["cn-north-1", "cn-northwest-1"])
def test_arns_belong_to_the_partition(china: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", china)
    # SAM keeps the region that it saw first.
    monkeypatch.setattr(arn_generator, "_get_region_from_session", lambda: china)
    arn_generator._region_to_partition.cache_clear()
    translated = json.dumps(transform(template(), {}, NoManagedPolicies()))
    assert "arn:aws-cn:" in translated
    assert re.findall('arn:aws:[^"]*', translated) == []
    assert re.findall("[a-z-]+\\.amazonaws\\.com/", translated) == []


#: Properties that a version keeps.
KEPT = ("Environment", "KmsKeyArn", "MemorySize", "Timeout", "Tracing", "VpcConfig")
#: Parameters that need not be in a description. Another key reaches the functions with their next code.
OMITTED = {"KmsKeyArn"}
#: The longest network: three subnets, a security group, and commas.
NETWORK = 3 * len("subnet-0123456789abcdef0,") + len("sg-0123456789abcdef0")


def described(function: dict[str, Any]) -> str:
    """The text of a version's description, with placeholders."""
    text = function["Properties"]["VersionDescription"]["Fn::Sub"]
    if isinstance(text, list):
        text = text[0].replace("${Network}", "${VpcSubnetIds}${VpcSecurityGroupIds}")
    return text


def longest(parameter: dict[str, Any]) -> int:
    """The maximum length of a parameter's value."""
    if "AllowedValues" in parameter:
        return max(len(str(value)) for value in parameter["AllowedValues"])
    if "MaxValue" in parameter:
        return len(str(parameter["MaxValue"]))
    if parameter["Type"] == "CommaDelimitedList":
        return NETWORK // 2 + 1
    # Two digests and a comma have no MaxLength, but a pattern.
    return parameter.get("MaxLength", 64 + 1 + 64)


def functions() -> dict[str, dict[str, Any]]:
    """The template's functions, before the transform."""
    resources = template()["Resources"]
    return {name: one for name, one in resources.items() if one["Type"] == "AWS::Serverless::Function"}


def test_descriptions_fit_a_version() -> None:
    parameters = template()["Parameters"]
    for name, function in functions().items():
        size = len(re.sub(r"\$\{(\w+)\}", lambda match: "x" * longest(parameters[match[1]]), described(function)))
        assert size <= 256, f"{name}: {size}"


def test_descriptions_name_every_parameter_that_a_version_keeps() -> None:
    whole = template()
    for name, function in functions().items():
        properties = {**whole["Globals"]["Function"], **function["Properties"]}
        environments = [whole["Globals"]["Function"]["Environment"], function["Properties"].get("Environment", {})]
        kept = json.dumps([environments, [properties.get(one) for one in KEPT]])
        for condition, meaning in whole["Conditions"].items():
            if f'"{condition}"' in kept:
                kept += json.dumps(meaning)
        read = {one for one in whole["Parameters"] if f'{{"Ref": "{one}"}}' in kept}
        assert read, name
        missing = {one for one in read - OMITTED if f"${{{one}}}" not in described(function)}
        assert not missing, f"{name}: {missing}"
