"""Tests that the comparison finds what it should, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from comparing import Difference, differences
from known import Known
from opinion import Found, Opinion, stale
from recording import Answer, Example

_ITEM = {"pk": {"S": "order#tsy#1"}, "sk": {"S": "record"}, "revision": {"N": "7"}, "waiting": {"SS": ["a", "b"]}}
_REFUSED = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "failed"}


def places(recorded: Answer, found: Answer, operation: str = "UpdateItem") -> list[str]:
    """The places that differ."""
    return [one.place for one in differences(operation, recorded, found)]


def changed(**attributes: Any) -> dict[str, Any]:
    """The item with other attributes. None removes one."""
    return {name: value for name, value in {**_ITEM, **attributes}.items() if value is not None}


def test_equal_answers_do_not_differ() -> None:
    assert places(Answer(200, {"Attributes": _ITEM}, [_ITEM]), Answer(200, {"Attributes": _ITEM}, [_ITEM])) == []


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"revision": {"N": "8"}}, "revision.N"),
        ({"revision": {"N": "7.0"}}, "revision.N"),
        ({"revision": None}, "revision"),
        ({"new": {"S": ""}}, "new"),
        ({"waiting": {"SS": ["a"]}}, "waiting.SS"),
    ],
)
def test_changed_attribute_is_reported(attributes: dict[str, Any], place: str) -> None:
    recorded = Answer(200, {"Attributes": _ITEM}, [_ITEM])
    assert places(recorded, Answer(200, {"Attributes": changed(**attributes)}, [_ITEM])) == [f"body.Attributes.{place}"]
    after = Answer(200, {"Attributes": _ITEM}, [changed(**attributes)])
    assert places(recorded, after) == [f"after.order#tsy#1 record.{place}"]


def test_item_that_should_not_exist_is_reported() -> None:
    assert places(Answer(200, {}, []), Answer(200, {}, [_ITEM])) == ["after.order#tsy#1 record"]


def test_other_error_is_reported() -> None:
    other = {**_REFUSED, "__type": "com.amazonaws.dynamodb.v20120810#ValidationException"}
    assert places(Answer(400, _REFUSED, []), Answer(400, other, [])) == ["error"]
    assert places(Answer(400, _REFUSED, []), Answer(400, {**_REFUSED, "message": "no"}, [])) == ["message"]
    assert places(Answer(400, _REFUSED, []), Answer(200, {}, [])) == ["error", "message", "status"]


def test_item_that_a_refusal_does_not_return_is_reported() -> None:
    assert places(Answer(400, {**_REFUSED, "Item": _ITEM}, []), Answer(400, _REFUSED, [])) == ["body.Item"]


def test_namespace_of_an_error_does_not_matter() -> None:
    bare = {**_REFUSED, "__type": "ConditionalCheckFailedException"}
    assert places(Answer(400, _REFUSED, []), Answer(400, bare, [])) == []


def test_order_of_a_set_does_not_matter() -> None:
    other = changed(waiting={"SS": ["b", "a"]})
    assert places(Answer(200, {"Attributes": _ITEM}, []), Answer(200, {"Attributes": other}, [])) == []


def test_order_matters_in_a_query_but_not_in_a_scan() -> None:
    one, other = {"sk": {"S": "a"}}, {"sk": {"S": "b"}}
    recorded, found = Answer(200, {"Items": [one, other]}, []), Answer(200, {"Items": [other, one]}, [])
    assert places(recorded, found, "Query") == ["body.Items[0].sk.S", "body.Items[1].sk.S"]
    assert places(recorded, found, "Scan") == []


def test_entry_of_the_list_covers_only_what_it_states() -> None:
    entry = Known(
        "cursor",
        emulators=["moto"],
        operations=["Query"],
        places=[r"body\.Items\[\]\.sk"],
        right="both",
        reason="",
        documentation="",
        request='"Limit"',
        values={"found": "(missing)"},
    )
    example = Example({}, "Query", '{"Limit": 3}', [], Answer(200, {}, []))
    without_limit = Example({}, "Query", "{}", [], Answer(200, {}, []))
    missing = Difference("body.Items[12].sk", {"S": "a"}, "(missing)")
    assert entry.place("moto", example, missing) == entry.places[0]
    assert entry.place("MiniStack", example, missing) is None
    assert entry.place("moto", without_limit, missing) is None
    assert entry.place("moto", example, Difference("body.Items[12].sk.S", "a", "(missing)")) is None
    assert entry.place("moto", example, Difference("body.Items[12].sk", {"S": "a"}, {"S": "b"})) is None


def test_entry_that_nothing_matches_is_stale() -> None:
    entry = Known("old", ["moto"], ["Query"], ["status", "error"], right="both", reason="", documentation="")
    example = Example({}, "Query", "{}", [], Answer(200, {}, []))
    found = Found("moto", example, Difference("status", 200, 400), listed=("old", "status"))
    assert stale([entry], [Opinion("moto", [found], 0)]) == ["old: error"]
    assert stale([entry], [Opinion("moto", [], 0)]) == ["old: status", "old: error", "old: moto"]
