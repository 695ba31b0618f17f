"""What MiniStack lacks, and what makes up for it in a template, a deployed API and MiniStack's own requests.

Each entry is a difference between the local stack and AWS. Remove it once MiniStack supports the feature. As a program,
this module runs MiniStack.
"""

from __future__ import annotations

import importlib
from typing import Any

#: The methods of a route that takes any.
_METHODS = ("get", "head", "put", "post", "patch", "delete", "options")


def adapted(template: dict[str, Any]) -> dict[str, Any]:
    """A template without what MiniStack does not know."""
    # It has no CodeDeploy. Its SAM transform reads only the defaults of parameters, so this one cannot be overridden.
    template["Parameters"]["CanaryDeployments"]["Default"] = "false"
    # It does not decode `~1`, which stands for a slash.
    api = template["Resources"]["Api"]["Properties"]
    api["BinaryMediaTypes"] = [kind.replace("~1", "/") for kind in api["BinaryMediaTypes"]]
    for resource in template["Resources"].values():
        events = resource.get("Properties", {}).get("Events", {})
        # It skips a route that takes any method.
        for name in [name for name, event in events.items() if event["Properties"].get("Method") == "any"]:
            event = events.pop(name)
            for method in _METHODS:
                events[name + method.capitalize()] = {
                    **event,
                    "Properties": {**event["Properties"], "Method": method},
                }
    return template


def complete(apigateway: Any, api_id: str, stage: str, template: dict[str, Any]) -> None:
    """Gives a deployed API the gateway responses of the template, which MiniStack does not take from SAM."""
    responses = template["Resources"]["Api"]["Properties"]["GatewayResponses"]
    for kind, response in responses.items():
        status = {"statusCode": str(response["StatusCode"])} if "StatusCode" in response else {}
        templates = response["ResponseTemplates"]
        apigateway.put_gateway_response(restApiId=api_id, responseType=kind, responseTemplates=templates, **status)
    # A stage has the responses of its deployment.
    apigateway.create_deployment(restApiId=api_id, stageName=stage)


def serve() -> None:
    """Runs MiniStack as its own command does."""
    # Not imported above: the driver does without MiniStack's code.
    ministack = importlib.import_module("ministack.app")
    original = ministack.app

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        # It decodes a path before it matches the route: ids with a slash match none then, and escapes are decoded
        # twice.
        if scope["type"] == "http" and scope["path"].startswith("/_aws/execute-api/"):
            scope = {**scope, "path": scope["raw_path"].decode("ascii")}
        await original(scope, receive, send)

    ministack.app = app
    ministack.main()


if __name__ == "__main__":
    serve()
