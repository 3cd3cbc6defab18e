"""The OpenAPI document: whole, valid, true to the table of errors, and true to what version 1 promised."""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema
from jsonschema_rs import Draft202012Validator

from activity import filters
from auditlog_project import api_errors
from auditlog_project.management.commands.openapi import error_table
from auditlog_project.openapi import document
from metaaudit import filters as access_filters
from tests.architecture.openapi_promise import broken
from tests.clusters import PROJECT

PROMISE = PROJECT / "docs" / "openapi-v1.json"
Shape = dict[str, Any]


@pytest.fixture(scope="module")
def present() -> Shape:
    said: Shape = json.loads(document.as_json())
    return said


def operations(said: Shape) -> Iterator[tuple[str, Shape]]:
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_is_valid_and_nothing_had_to_be_guessed() -> None:
    with GENERATOR_STATS.silence():
        GENERATOR_STATS.reset()
        said = document.generate()
        guesses = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert guesses == []
    assert said["openapi"].startswith("3.1")
    validate_schema(said)  # type: ignore[no-untyped-call]


def test_each_operation_says_what_it_is(present: Shape) -> None:
    found = dict(operations(present))
    assert {"POST /api/v1/logs", "GET /api/v1/logs/{entry_id}", "POST /api/v1/verify"} <= found.keys()
    for place, operation in found.items():
        assert all(operation.get(name) for name in ("operationId", "summary", "description", "tags")), place
        assert set(operation["tags"]) <= {tag["name"] for tag in present["tags"]}, place
        for status, answer in operation["responses"].items():
            assert answer["description"], place
            assert answer.get("content") or status == "204", f"{place}: {status} without content"
            assert all(content["schema"] for content in answer.get("content", {}).values()), f"{place}: {status}"
    names = [operation["operationId"] for operation in found.values()]
    assert len(names) == len(set(names))


def test_every_filter_is_described(present: Shape) -> None:
    described = {one["name"] for one in find(present)["parameters"]}
    assert described == filters.PARAMETERS | {"data"}


def test_every_filter_of_accesses_is_described_where_they_are_listed_and_ordered(present: Shape) -> None:
    listed = {one["name"] for one in present["paths"]["/api/v1/meta-logs"]["get"]["parameters"]}
    assert listed == set(access_filters.PARAMETERS)
    told: str = schemas(present)["ExportOrder"]["properties"]["filters"]["description"]
    of_accesses = told[told.index("Of a ledger of accesses") :]
    assert set(re.findall(r"`(\w+)`", of_accesses)) == listed - {"limit", "cursor"} | {"meta"}


def test_what_needs_a_login_says_so(present: Shape) -> None:
    for place, operation in operations(present):
        both: list[Shape] = [{"apiKey": []}, {"session": []}]
        assert operation["security"] in ([{}], both), place
        assert ("401" in operation["responses"]) == (operation["security"] == both), place


def test_every_refusal_is_one_of_the_table(present: Shape) -> None:
    table = api_errors.codes()
    for place, operation in operations(present):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                (_, told) = answer["content"][api_errors.PROBLEM_JSON]["schema"]["allOf"]
                assert {table[code] for code in told["properties"]["code"]["enum"]} == {int(status)}, place


def test_every_code_has_a_meaning() -> None:
    assert set(api_errors.MEANINGS) == set(api_errors.codes())


def test_the_errors_of_the_docs_are_those_of_the_table() -> None:
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    assert error_table() in page, "./auditlog openapi --errors prints them as they are"


def test_every_example_is_what_its_schema_says(present: Shape) -> None:
    seen = 0
    for place, operation in operations(present):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in body.get("content", {}).values():
                schema = content["schema"] | {"components": present["components"]}
                for example in content.get("examples", {}).values():
                    faults = [fault.message for fault in Draft202012Validator(schema).iter_errors(example["value"])]
                    assert faults == [], place
                    seen += 1
    assert seen > 20


def test_version_1_keeps_what_it_promised(present: Shape) -> None:
    how = "./auditlog openapi --write says the same in docs/openapi-v1.json; docs/api.md says what may change"
    assert broken(json.loads(PROMISE.read_bytes()), present) == [], how


def changed(change: Callable[[Shape], object]) -> Callable[[Shape], Shape]:
    def make(said: Shape) -> Shape:
        other = deepcopy(said)
        change(other)
        return other

    return make


def schemas(said: Shape) -> Shape:
    found: Shape = said["components"]["schemas"]
    return found


def find(said: Shape) -> Shape:
    found: Shape = said["paths"]["/api/v1/logs"]["get"]
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda said: said["paths"].pop("/api/v1/verify"), "POST /api/v1/verify: gone"),
        (lambda said: said["paths"]["/api/v1/logs"].pop("post"), "POST /api/v1/logs: gone"),
        (lambda said: find(said)["parameters"].pop(0), "no parameter ledger in query"),
        (lambda said: find(said)["parameters"][0].update(required=True), "needs the parameter ledger"),
        (lambda said: find(said)["security"].pop(0), "takes no {'apiKey': []}"),
        (lambda said: find(said)["responses"].pop("200"), "never answers 200"),
        (lambda said: find(said).update(operationId="search"), "is called search now"),
        (lambda said: schemas(said)["Entry"]["properties"].pop("kid"), ".kid: gone"),
        (lambda said: schemas(said)["Entry"]["required"].remove("kid"), ".kid: may be missing now"),
        (lambda said: schemas(said)["Entry"]["properties"]["actor"].update(type="integer"), "another type"),
        (lambda said: schemas(said)["Event"]["properties"].pop("ip"), ".ip: gone"),
        (lambda said: schemas(said)["Event"]["required"].append("target"), ".target: is needed now"),
        (lambda said: schemas(said)["Event"]["properties"]["actor"].update(maxLength=20), "maxLength is 20"),
        (lambda said: schemas(said)["Event"]["properties"]["outcome"]["enum"].pop(), "no 'unknown'"),
        (lambda said: schemas(said)["Event"]["properties"]["action"].update(pattern="x"), "pattern is x"),
        (lambda said: schemas(said)["Evidence"]["oneOf"].pop(), "no alternative"),
        (lambda said: schemas(said)["Problem"]["properties"]["code"]["enum"].remove("throttled"), "no 'throttled'"),
    ],
)
def test_what_breaks_the_promise_is_told(present: Shape, change: Callable[[Shape], object], told: str) -> None:
    found = broken(present, changed(change)(present))
    assert any(told in line for line in found), found


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["paths"].update({"/api/v1/new": said["paths"]["/api/v1/verify"]}),
        lambda said: find(said)["parameters"].append({"name": "n", "in": "query", "schema": {"type": "string"}}),
        lambda said: schemas(said)["Entry"]["properties"].update(more={"type": "string"}),
        lambda said: schemas(said)["Event"]["properties"].update(more={"type": "string"}),
        lambda said: schemas(said)["Event"]["properties"]["actor"].update(maxLength=1000),
        lambda said: schemas(said)["Problem"]["properties"]["code"]["enum"].append("new-code"),
        lambda said: schemas(said)["Evidence"]["oneOf"].append({"type": "string"}),
    ],
)
def test_what_only_adds_breaks_nothing(present: Shape, change: Callable[[Shape], object]) -> None:
    assert broken(present, changed(change)(present)) == []
