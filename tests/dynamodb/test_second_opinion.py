"""Replays the in-process tests' requests to DynamoDB on other emulators, and compares what they do."""

from __future__ import annotations

import json
import re

import pytest

import emulators
import opinion
from known import Known
from layout import ROOT, TEMPLATE
from opinion import Opinion
from recording import Recording
from replaying import table_of

_SHOWN = 20


def test_every_condition_of_the_store_was_met_and_refused(recorded: Recording) -> None:
    outcomes = recorded.conditions()
    in_source = conditions_in_the_store()
    assert in_source
    assert in_source <= {condition for _, condition in outcomes}
    one_sided = [f"{found}: {text}" for text, found in outcomes.items() if found != {200, 400}]
    assert not one_sided, "\n".join(one_sided)


def test_tables_of_the_tests_are_defined_as_in_the_template(recorded: Recording) -> None:
    created = [json.loads(example.request) for example in recorded.all_examples() if example.operation == "CreateTable"]
    assert created
    wanted = sorted_lists(table_of(TEMPLATE))
    for request in created:
        assert sorted_lists({name: request.get(name) for name in wanted}) == wanted


@pytest.mark.parametrize("emulator", emulators.NAMES)
def test_emulator_does_as_recorded_apart_from_the_list(emulator: str, opinions: list[Opinion]) -> None:
    found = next(one.found for one in opinions if one.emulator == emulator)
    unknown = [one for one in found if one.listed is None]
    # One of each place, because every example of a shape shows the same.
    places = {(one.example.operation, one.example.expressions, one.difference.any_index): str(one) for one in unknown}
    text = "\n".join(list(places.values())[:_SHOWN])
    if unknown:
        pytest.fail(f"differences that are not in differences.toml: {len(unknown)}, such as\n{text}", pytrace=False)


def test_list_has_no_stale_entry(listed: list[Known], opinions: list[Opinion]) -> None:
    if unused := opinion.stale(listed, opinions):
        pytest.fail("\n".join(["differences.toml has what no longer occurs:", *unused]), pytrace=False)


def test_every_entry_has_a_verdict_and_a_page_of_the_documentation(listed: list[Known]) -> None:
    for entry in listed:
        assert entry.right in ("tests", "emulator", "both"), entry.name
        assert entry.reason, entry.name
        assert entry.documentation.startswith("https://docs.aws.amazon.com/amazondynamodb/latest/"), entry.name


def conditions_in_the_store() -> set[str]:
    """The condition expressions in the source of relay-store."""
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "shared" / "store" / "src").glob("*.rs"))
    return set(re.findall(r'\.condition_expression\(\s*"([^"]+)"', re.sub(r"\\\n\s*", "", sources)))


def sorted_lists(value: object) -> object:
    """The value with all lists sorted: their order does not matter in a table's definition."""
    if isinstance(value, dict):
        return {name: sorted_lists(inner) for name, inner in sorted(value.items())}
    return sorted(map(sorted_lists, value), key=str) if isinstance(value, list) else value
