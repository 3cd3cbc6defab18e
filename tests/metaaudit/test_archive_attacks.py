"""Archives that are none: what the database refuses to the owner and the app role, and what `verify` catches else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import psycopg
import pytest

from activity.amending import key_for
from metaaudit import archiving
from metaaudit.archiving import Prefix
from metaaudit.errors import ArchiveRefusedError
from metaaudit.models import MetaArchive, MetaLog
from metaaudit.record import draft
from metaaudit.services import record as record_access
from metaaudit.services import record_summary
from metaaudit.terminal import command_access
from signing.ledger import sign_checkpoint
from signing.merkle import leaf_hash
from signing.queries import head, ledger_named
from signing.services import mark_compromised
from tests.attacks.intruder import Verification, assert_clean, of, verify
from tests.clusters import Database
from tests.metaaudit.conftest import Taken, archive

META = of("meta")
GONE = "the leaf has no entry"
NOT_A_LEAF = "the tombstone of an archive is not the leaf that the ledger holds"
COLUMNS = "the columns of an archive are not what its tombstone says"


@pytest.fixture
def prefix(taken: Taken) -> Prefix:
    """Give what an export would archive; nothing is archived yet."""
    path = taken()
    with path.open("rb") as source:
        return archiving.examine(source, path.name, now=datetime.now(UTC))


@pytest.fixture
def archived(taken: Taken) -> MetaArchive:
    """Give an archive whose rows are gone."""
    archive(taken())
    assert_clean()
    return MetaArchive.objects.get()


def entomb(prefix: Prefix) -> MetaArchive:
    made = archiving.archive(prefix, access=partial(command_access, "archive_accesses"), by="olga", reason="r")
    sign_checkpoint(made.ledger)
    return made


def caught(reason: str, leaf: int | None) -> Verification:
    found = verify()
    named = [each["leaf_index"] for each in found.findings("meta") if reason in each["reason"]]
    assert (found.exit_code, leaf in named) == (1, True), found.findings("meta")
    return found


def free(site: Database) -> psycopg.Connection[Any]:
    """Return a superuser for whom no guard is in the way."""
    intruder = site.superuser()
    for table in ("meta_logs", "meta_archives"):
        intruder.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    return intruder


def denied(connection: psycopg.Connection[Any], statement: str, *parameters: Any, state: str = "AL001") -> None:
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(statement.encode(), parameters or None)
    assert refused.value.sqlstate == state


ROW = f"meta_logs WHERE {META} AND leaf_index = %s"


def test_the_owner_removes_archived_rows_and_no_others(prefix: Prefix, site: Database) -> None:
    owner = site.owner()
    denied(owner, f"DELETE FROM {ROW}", 0)
    made = entomb(prefix)
    assert_clean()
    denied(owner, f"DELETE FROM {ROW}", made.end_leaf)
    denied(owner, f"DELETE FROM meta_logs WHERE {META}")
    for leaf in (made.end_leaf - 1, 0):
        assert owner.execute(f"DELETE FROM {ROW}".encode(), [leaf]).rowcount == 1
    assert_clean()


def test_the_rows_of_another_ledger_are_not_archived_with_it(prefix: Prefix, site: Database) -> None:
    record_summary(access=command_access("archive_accesses"))
    entomb(prefix)
    denied(site.owner(), f"DELETE FROM meta_logs WHERE {of('meta-summaries')} AND leaf_index = 0")


def test_archived_rows_are_not_changed_either(prefix: Prefix, site: Database) -> None:
    entomb(prefix)
    denied(site.owner(), f"UPDATE meta_logs SET user_name = 'x' WHERE {META} AND leaf_index = 0")
    denied(site.owner(), "TRUNCATE meta_logs")


def test_nobody_but_the_owner_removes_them_even_with_the_privilege(prefix: Prefix, site: Database) -> None:
    entomb(prefix)
    denied(site.app(), f"DELETE FROM {ROW}", 0, state="42501")
    site.owner().execute("GRANT DELETE ON meta_logs TO auditlog_app")
    for somebody in (site.app(), site.superuser()):
        denied(somebody, f"DELETE FROM {ROW}", 0)


def test_the_application_cannot_make_or_change_an_archive(archived: MetaArchive, site: Database) -> None:
    app = site.app()
    for statement in (
        "INSERT INTO meta_archives SELECT * FROM meta_archives",
        "UPDATE meta_archives SET end_leaf = 99",
        "DELETE FROM meta_archives",
        "TRUNCATE meta_archives",
        "ALTER TABLE meta_archives DISABLE TRIGGER ALL",
    ):
        denied(app, statement, state="42501")


OTHERWISE: dict[str, tuple[Callable[[Prefix], Prefix], str]] = {
    "a gap before it": (lambda one: replace(one, first_leaf=1), "does not begin where the last archive ends"),
    "no leaf": (lambda one: replace(one, end_leaf=0), "has no leaf, or its own tombstone"),
    "its own tombstone": (lambda one: replace(one, end_leaf=_size() + 1), "has no leaf, or its own tombstone"),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_an_archive_of_other_leaves_is_refused(prefix: Prefix, what: str) -> None:
    change, reason = OTHERWISE[what]
    with pytest.raises(ArchiveRefusedError, match=reason):
        entomb(change(prefix))
    entomb(prefix)
    with pytest.raises(ArchiveRefusedError, match="does not begin where the last archive ends"):
        entomb(prefix)
    assert_clean()


def test_what_lost_a_row_is_not_archived(prefix: Prefix, site: Database) -> None:
    intruder = free(site)
    intruder.execute(f"DELETE FROM {ROW}".encode(), [2])
    for table in ("meta_logs", "meta_archives"):
        intruder.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())
    with pytest.raises(ArchiveRefusedError, match="not every one of its leaves has a row"):
        entomb(prefix)


MEMBERS = {
    "id": ("id",),
    "action": ("action",),
    "ledger": ("ledger",),
    "kid": ("tombstone", "kid"),
    "first_leaf": ("tombstone", "first_leaf"),
    "end_leaf": ("tombstone", "end_leaf"),
}


@pytest.mark.parametrize("member", [None, *MEMBERS])
def test_a_record_about_something_else_is_no_tombstone(prefix: Prefix, site: Database, member: str | None) -> None:
    made = entomb(prefix)
    intruder = free(site)
    intruder.execute("DELETE FROM meta_archives")
    for table in ("meta_logs", "meta_archives"):
        intruder.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())
    said = orjson.loads(bytes(made.record))
    if member is not None:
        place = said
        for name in MEMBERS[member][:-1]:
            place = place[name]
        place[MEMBERS[member][-1]] = 1_000 if member.endswith("leaf") else "x"
    record = orjson.dumps(said)
    owner = site.owner(autocommit=False)
    leaf = _append(owner, record)
    insert = partial(
        owner.execute, _INSERT, [made.pk, made.ledger_id, leaf, record, b"s", made.key_id, 0, made.end_leaf]
    )
    if member is None:
        assert insert().rowcount == 1
    else:
        with pytest.raises(psycopg.Error, match="its record is not the tombstone of these leaves"):
            insert()
    owner.rollback()


def test_rows_that_go_without_a_tombstone_are_missing(archived: MetaArchive, site: Database) -> None:
    free(site).execute(f"DELETE FROM {ROW}".encode(), [archived.end_leaf])
    found = caught(GONE, archived.end_leaf)
    assert found.first_bad_leaf("meta") == archived.end_leaf


def test_without_its_archive_a_prefix_is_missing(archived: MetaArchive, site: Database) -> None:
    free(site).execute("DELETE FROM meta_archives")
    assert caught(GONE, 0).first_bad_leaf("meta") == 0


def test_a_forged_archive_without_a_leaf_is_caught(archived: MetaArchive, site: Database) -> None:
    intruder = free(site)
    start, size = archived.end_leaf, _size()
    record = bytes(archived.record).replace(b'"first_leaf":0', b'"first_leaf":%d' % start)
    record = record.replace(b'"end_leaf":%d' % start, b'"end_leaf":%d' % (start + 1))
    row = ["00000000-0000-7000-8000-000000000000", archived.ledger_id, size - 1, record, b"s", archived.key_id]
    intruder.execute(_INSERT, [*row, start, start + 1])
    intruder.execute(f"DELETE FROM {ROW}".encode(), [start])
    found = caught(NOT_A_LEAF, size - 1)
    assert found.first_bad_leaf("meta") == start
    assert any(each["leaf_index"] == start and each["verdict"] == "missing" for each in found.findings("meta"))
    assert not any(each["leaf_index"] == 0 for each in found.findings("meta"))  # the true archive still counts


CHANGED = {
    "id": ("id = gen_random_uuid()", COLUMNS),
    "leaf": ("leaf_index = leaf_index - 1", NOT_A_LEAF),
    "no leaf at all": ("leaf_index = 100000", NOT_A_LEAF),
    "record": ("record = record || ' '", NOT_A_LEAF),
    "signature": ("signature = sha256(signature)", "its signature is not that of"),
    "key": ("key_id = 'none'", COLUMNS),
    "first leaf": ("first_leaf = 1", COLUMNS),
    "end": ("end_leaf = end_leaf + 1", COLUMNS),
    "ledger": ("ledger_id = (SELECT id FROM ledgers WHERE name = 'meta-summaries')", GONE),
}


@pytest.mark.parametrize("what", CHANGED)
def test_an_archive_that_was_changed_is_caught(archived: MetaArchive, site: Database, what: str) -> None:
    change, reason = CHANGED[what]
    free(site).execute(f"UPDATE meta_archives SET {change}".encode())
    at = {"leaf": archived.leaf_index - 1, "no leaf at all": 100000, "ledger": 0}.get(what, archived.leaf_index)
    found = caught(reason, at)
    assert found.first_bad_leaf("meta") == 0  # its rows are missing


def test_who_owns_the_database_and_has_no_key_cannot_archive_unseen(prefix: Prefix, site: Database) -> None:
    """The worst that the owner can do with every guard in force: all is as it must be, but for the signature."""
    genuine = prefix.tombstone(by="eve", reason="r", kid=key_for("Ed25519").id)
    one = draft(command_access("archive_accesses", tombstone=genuine), "meta")
    assert_clean()
    with site.owner(autocommit=False) as owner:
        leaf = _append(owner, one.record)
        owner.execute(_INSERT, [one.id, prefix.ledger.pk, leaf, one.record, bytes(64), genuine.kid, 0, prefix.end_leaf])
        owner.execute(f"DELETE FROM meta_logs WHERE {META} AND leaf_index < %s".encode(), [prefix.end_leaf])
    sign_checkpoint(prefix.ledger)
    found = caught("its signature is not that of", leaf)
    assert found.first_bad_leaf("meta") == 0


WRONG: dict[str, tuple[Callable[[Prefix], Prefix], str]] = {
    "root": (lambda one: replace(one, root=bytes(32)), "leaves is not the one that the tombstone names"),
    "gap": (lambda one: replace(one, first_leaf=2), "does not follow leaf -1"),
    "nothing": (lambda one: replace(one, end_leaf=0), "does not follow leaf -1"),
    "itself": (lambda one: replace(one, end_leaf=_size() + 1), "does not follow leaf -1"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_signed_tombstone_that_is_wrong_is_caught(prefix: Prefix, site: Database, what: str) -> None:
    change, reason = WRONG[what]
    site.superuser().execute("ALTER TABLE meta_archives DISABLE TRIGGER by_tombstone")
    made = entomb(change(prefix))
    caught(reason, made.leaf_index)


def test_a_tombstone_that_counts_wrong_is_caught(prefix: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Prefix.tombstone
    monkeypatch.setattr(Prefix, "tombstone", lambda self, **said: replace(right(self, **said), count=0))
    caught(COLUMNS, entomb(prefix).leaf_index)


def test_a_record_that_is_no_tombstone_is_caught(archived: MetaArchive, site: Database) -> None:
    log = MetaLog.objects.filter(ledger__name="meta").order_by("leaf_index").first()
    assert log is not None
    free(site).execute("UPDATE meta_archives SET leaf_index = %s, record = %s", [log.leaf_index, bytes(log.record)])
    caught("is not a tombstone as this application makes them", log.leaf_index)


def test_a_tombstone_that_a_thief_could_have_signed_is_in_doubt(archived: MetaArchive) -> None:
    mark_compromised(key_id=archived.key_id, trusted_until={"meta": archived.leaf_index}, by="test", reason="stolen")
    found = verify()
    (doubt,) = [each for each in found.findings("meta") if each["verdict"] == "untrusted_key"]
    assert doubt["leaf_index"] == archived.leaf_index
    assert found.alarms("meta") == []


def test_an_archive_whose_leaves_are_gone_is_caught(taken: Taken, site: Database) -> None:
    for _ in range(256):
        record_access(access=command_access("verify"))
    archive(taken())
    assert_clean()
    intruder = site.superuser()
    intruder.execute("ALTER TABLE ledger_nodes DISABLE TRIGGER ALL")
    intruder.execute(f"DELETE FROM ledger_nodes WHERE {META} AND level = 1".encode())
    made = MetaArchive.objects.get()
    caught("the leaves of an archive are not in the ledger any more", made.leaf_index)


_INSERT = (
    "INSERT INTO meta_archives (id, ledger_id, leaf_index, record, signature, key_id, first_leaf, end_leaf) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)


def _size() -> int:
    return head(ledger_named("meta")).size


def _append(connection: psycopg.Connection[Any], record: bytes) -> int:
    found = connection.execute(
        "SELECT first_leaf FROM ledgers, ledger_append(id, %s, '{}') WHERE name = 'meta'", [leaf_hash(record)]
    ).fetchone()
    assert found is not None
    return int(found[0])
