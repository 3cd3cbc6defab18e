"""`manage.py setup_database`, run as an operator runs it, on servers that know nothing of auditlog yet."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from auditlog_project.embedded.programs import postgres_programs
from auditlog_project.posture import database_problems
from tests.clusters import EMBEDDED, PROJECT, Cluster, Clusters, server_names

KINDS = ("owner", "app", "approver")
PASSWORD = "pass/word %41"


@dataclass
class Site:
    """A server with an administrator, and the names that a new installation is to have on it."""

    cluster: Cluster
    name: str
    anchors: Path

    def role(self, kind: str) -> str:
        return f"{self.name}_{kind}"

    def url(self, kind: str) -> str:
        if kind == "superuser":
            return self.cluster.server.superuser_url(self.name)
        return self.cluster.server.url(self.role(kind), PASSWORD, self.name)

    def environment(self) -> dict[str, str]:
        names = {"app": "DATABASE_URL", "owner": "DATABASE_OWNER_URL", "approver": "DATABASE_APPROVER_URL"}
        addresses = {variable: self.url(kind) for kind, variable in names.items()}
        return os.environ | addresses | {"AUDITLOG_ANCHOR_DIR": str(self.anchors)}

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in (self.environment() | variables).items() if value}
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)

    def set_up(self, **variables: str) -> str:
        done = self.manage("setup_database", **variables)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout

    def administer(self, statement: str, database: str = "postgres") -> None:
        roles = {kind: sql.Identifier(self.role(kind)) for kind in KINDS}
        with psycopg.connect(self.cluster.server.superuser_url(database), autocommit=True) as superuser:
            superuser.execute(sql.SQL(statement).format(name=sql.Identifier(self.name), **roles))

    @property
    def administrator(self) -> dict[str, str]:
        return {"DATABASE_ADMIN_URL": self.cluster.server.superuser_url()}


@pytest.fixture
def site(clusters: Clusters, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    cluster = clusters[getattr(request, "param", EMBEDDED)]
    cluster.start()
    new = Site(cluster, f"test_{os.getpid()}_setup", tmp_path / "anchors")
    yield new
    new.administer("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    for kind in KINDS:
        new.administer(f"DROP ROLE IF EXISTS {{{kind}}}")


def problems(site: Site) -> list[Any]:
    with psycopg.connect(site.url("app")) as app, psycopg.connect(site.url("approver")) as approver:
        return database_problems(app) + database_problems(approver, "approver")


@pytest.mark.parametrize("site", server_names(), indirect=True)
def test_one_run_makes_everything_and_the_next_finds_it_there(site: Site) -> None:
    first = site.set_up(**site.administrator)
    for kind in KINDS:
        assert f"role {site.role(kind)}: created\n" in first
    assert f"database {site.name}: created\n" in first
    assert "migrations: applied activity.0001_initial, " in first
    assert "grants: changed (" in first
    assert "ledger activity: opened\n" in first
    assert problems(site) == []
    assert (site.anchors / "trust.vkeys").read_text()

    again = site.set_up(**site.administrator)
    assert again.splitlines() == [
        *(f"role {site.role(kind)}: already there" for kind in ("app", "approver", "owner")),
        f"database {site.name}: already there",
        "migrations: already there",
        "grants: already there",
        "posture: the guards hold",
    ]
    # Once it is there, nobody needs the administrator.
    assert site.set_up() == again


def test_what_was_changed_meanwhile_is_put_right_and_said(site: Site) -> None:
    site.set_up(**site.administrator)
    site.administer(
        "GRANT DELETE, UPDATE (recorded_at) ON activity_logs TO {app}; REVOKE SELECT ON auth_user FROM {app}", site.name
    )
    site.administer("GRANT TEMP ON DATABASE {name} TO PUBLIC; ALTER ROLE {app} CREATEDB")
    site.administer("ALTER ROLE {approver} PASSWORD 'somebody changed it'")
    psycopg.connect(site.url("app")).close()
    said = site.set_up(**site.administrator)
    assert f"role {site.role('app')}: changed (NOCREATEDB)\n" in said
    assert f"role {site.role('approver')}: changed (PASSWORD)\n" in said
    assert "grants: changed (1 given, 2 taken away)\n" in said
    assert problems(site) == []


def test_without_an_administrator_the_sql_for_one_is_printed(site: Site) -> None:
    refused = site.manage("setup_database")
    assert refused.returncode != 0
    assert "DATABASE_ADMIN_URL is not set" in refused.stderr
    assert PASSWORD not in refused.stderr
    statements = [line for line in refused.stderr.splitlines() if line.startswith(("CREATE ", "GRANT "))]
    assert len(statements) == 6
    for statement in statements:
        site.administer(statement)
    for kind in KINDS:
        site.administer(f"ALTER ROLE {{{kind}}} PASSWORD '{PASSWORD}'")
    site.set_up()
    assert problems(site) == []


def test_an_owner_that_may_create_roles_makes_the_others(site: Site) -> None:
    site.administer(f"CREATE ROLE {{owner}} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
    site.administer("CREATE DATABASE {name} OWNER {owner}")
    said = site.set_up()
    assert f"role {site.role('app')}: created\n" in said
    # Whoever made a role administers it, and the owner alone does: the app role has gained nothing.
    assert problems(site) == []


def test_an_administrator_need_not_be_superuser(site: Site) -> None:
    administrator = f"{site.name}_admin"
    site.administer(f"CREATE ROLE {administrator} LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
    try:
        address = site.cluster.server.url(administrator, "x", "postgres")
        said = site.set_up(DATABASE_ADMIN_URL=address)
        assert f"database {site.name}: created\n" in said
        assert problems(site) == []
    finally:
        site.administer("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        site.administer(f"DROP OWNED BY {administrator}")
        for kind in KINDS:
            site.administer(f"DROP ROLE IF EXISTS {{{kind}}}")
        site.administer(f"DROP ROLE {administrator}")


def test_a_dump_is_restored_where_there_are_neither_roles_nor_database(site: Site, tmp_path: Path) -> None:
    site.set_up(**site.administrator)
    dump, programs = str(tmp_path / "auditlog.dump"), postgres_programs()
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", site.url("owner")], check=True)
    site.administer("DROP DATABASE {name} WITH (FORCE)")
    for kind in KINDS:
        site.administer(f"DROP ROLE {{{kind}}}")

    ready = site.manage("setup_database", "--roles-only", **site.administrator)
    assert ready.stdout.splitlines() == [
        *(f"role {site.role(kind)}: created" for kind in ("app", "approver", "owner")),
        f"database {site.name}: created",
    ]
    options = ["--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={site.url('owner')}"]
    subprocess.run([programs / "pg_restore", *options, dump], check=True)
    assert site.set_up().splitlines()[-3:] == [
        "migrations: already there",
        "grants: already there",
        "posture: the guards hold",
    ]
    assert problems(site) == []


def test_set_up_does_not_end_well_where_serving_would_be_refused(site: Site) -> None:
    site.set_up(**site.administrator)
    site.administer("ALTER ROLE {app} CREATEDB; ALTER DATABASE {name} SET synchronous_commit = off")
    refused = site.manage("setup_database")
    assert refused.returncode != 0
    assert f"The runtime role {site.role('app')} is CREATEDB." in refused.stderr
    assert "synchronous_commit is off" in refused.stderr


def test_addresses_that_do_not_fit_together_are_refused(site: Site) -> None:
    same_role = site.manage("setup_database", DATABASE_OWNER_URL=site.url("app"))
    assert "must be different roles" in same_role.stderr
    elsewhere = site.manage("setup_database", DATABASE_OWNER_URL=site.url("owner").replace("_setup?", "_other?"))
    assert "name different databases" in elsewhere.stderr
    ownerless = site.manage("setup_database", DATABASE_OWNER_URL="")
    assert "DATABASE_OWNER_URL is not set" in ownerless.stderr
    wrong = site.manage("setup_database", DATABASE_ADMIN_URL="mysql://hidden@")
    assert "DATABASE_ADMIN_URL" in wrong.stderr
    for refused in (same_role, elsewhere, ownerless, wrong):
        assert refused.returncode != 0
        assert "hidden" not in refused.stderr
        assert "Traceback" not in refused.stderr


def test_plain_migrate_says_what_to_run_instead(site: Site) -> None:
    refused = site.manage("migrate")
    assert refused.returncode != 0
    assert "Run `manage.py setup_database`" in refused.stderr


def test_help_teaches(site: Site) -> None:
    told = site.manage("setup_database", "--help").stdout
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_APPROVER_URL", "DATABASE_ADMIN_URL"):
        assert name in told
