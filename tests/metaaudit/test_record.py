"""The record of an access: its bytes, its query hash, and the columns that follow from it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from activity.record import MAX_RECORD
from metaaudit.errors import UnknownActionError
from metaaudit.record import ANONYMOUS, Access, Who, columns_of, draft, query_hash, seen_text
from metaaudit.vocabulary import ACTIONS, Auth
from tests.clusters import PROJECT

ADA = Who("user:7", "ada", Auth.SESSION, "0123456789abcdef")
ACCESS = Access(
    ADA,
    "search",
    "GET",
    "/api/v1/logs",
    "api/v1/logs",
    query=[("type", "auth.login"), ("actor", "ann")],
    sizes={"activity": 12},
    result_count=2,
    result_digest=b"\x07" * 32,
    leaves={"activity": [(3, 4)]},
    status=200,
    duration_ms=5,
    bytes=812,
    ip="192.0.2.7",
    agent="curl/8",
    request_id="order-4711",
)


def said(access: Access) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(draft(access, "meta").record)
    return members


def test_a_record_is_deterministic_json_with_what_there_is() -> None:
    made = draft(ACCESS, "meta")
    members = json.loads(made.record)
    assert made.record == json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    assert members["leaves"] == {"activity": [[3, 4]]}
    assert (members["user_id"], members["auth"], members["auth_id"]) == ("user:7", "session", "0123456789abcdef")
    assert "completes" not in members
    assert made.leaf_hash == sha256(b"\0" + made.record).digest()


def test_the_milliseconds_of_the_id_are_those_of_the_time() -> None:
    members = said(ACCESS)
    since_1970 = datetime.fromisoformat(members["at"]).astimezone(UTC).timestamp()
    assert int(members["id"].replace("-", "")[:12], 16) == round(since_1970 * 1000)


def test_anybody_can_recompute_the_query_hash_from_the_record() -> None:
    members = said(ACCESS)
    asked = {
        "action": members["action"],
        "ledgers": sorted(members["sizes"]),
        "parameters": sorted(members["query"]),
        "resource": members["path"],
        "user": members["user_id"],
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sha256(canonical.encode()).hexdigest() == members["query_hash"]


def test_the_order_of_parameters_does_not_make_another_query() -> None:
    turned = replace(ACCESS, query=list(reversed(ACCESS.query)), status=500, sizes={"activity": 99})
    assert said(turned)["query_hash"] == said(ACCESS)["query_hash"]


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "list"},
        {"path": "/api/v1/logs/1"},
        {"who": replace(ADA, id="user:8")},
        {"query": [("type", "auth.login"), ("actor", "bob")]},
        {"query": [("type", "auth.login"), ("actor", "ann"), ("actor", "ann")]},
        {"sizes": {"other": 12}},
    ],
)
def test_another_query_has_another_hash(changes: dict[str, Any]) -> None:
    assert said(replace(ACCESS, **changes))["query_hash"] != said(ACCESS)["query_hash"]


def test_the_vocabulary_is_closed() -> None:
    with pytest.raises(UnknownActionError, match="there is no action 'peek'"):
        draft(replace(ACCESS, action="peek"), "meta")
    assert all(draft(replace(ACCESS, action=action), "meta") for action in ACTIONS)
    assert max(map(len, ACTIONS)) <= 32


def test_columns_show_what_the_record_says() -> None:
    columns = columns_of(said(replace(ACCESS, agent="a\0b", query=[("q", "x\0y")])), {"activity": 2}.__getitem__)
    assert (columns["agent"], columns["query"]) == ("a\u2400b", [["q", "x\u2400y"]])
    assert columns["seen"] == "{[562949953421315,562949953421317)}"
    assert columns["completes"] is None
    assert columns_of(said(Access(ANONYMOUS, "view", "GET", "/", "")), len)["seen"] is None


def test_leaves_of_several_ledgers_are_one_set() -> None:
    leaves = {"b": [(0, 0)], "a": [(5, 9), (11, 11)]}
    assert seen_text(leaves, {"a": 0, "b": 1}.__getitem__) == "{[5,10),[11,12),[281474976710656,281474976710657)}"


def test_what_is_too_long_is_cut_and_what_is_no_text_replaced() -> None:
    members = said(replace(ACCESS, agent="x" * 9_999, path="/" + "y" * 9_999, request_id="\ud800"))
    assert (len(members["agent"]), len(members["path"]), members["request_id"]) == (500, 2048, "?")


def test_a_record_never_grows_over_its_limit() -> None:
    scattered = [(leaf * 10**15, leaf * 10**15) for leaf in range(4096)]
    query = [("q" * 8_000, "\x01" * 8_000)]
    made = draft(replace(ACCESS, leaves={"activity": scattered}, query=query), "meta")
    assert len(made.record) <= MAX_RECORD
    members = json.loads(made.record)
    assert (members["result_count"], members["query"]) == (2, [list(query[0])])
    assert "leaves" not in members


def test_the_hash_does_not_depend_on_what_came_out() -> None:
    members = said(ACCESS)
    assert query_hash({**members, "status": 404, "result_count": 0, "at": "then"}) == members["query_hash"]


def test_the_page_for_auditors_explains_every_member_and_no_other_action() -> None:
    page = (PROJECT / "docs" / "meta-audit.md").read_text(encoding="utf-8")
    by_field = page[page.index("| members |") : page.index("| rule |")]
    rows = [row.split("|")[1] for row in by_field.splitlines() if row.startswith("|")]
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    whole = replace(ACCESS, completes=UUID(int=1), searches=[{"ledgers": ["activity"]}])
    assert explained == set(said(whole))
    by_rule = page[page.index("| rule |") : page.index("Of locks and overrides")]
    assert set(re.findall(r"`([a-z_]+)`", by_rule)) <= ACTIONS.keys() | said(whole).keys() | {"saw_target"}
