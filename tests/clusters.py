"""Real PostgreSQL for the tests: servers, the migrated template on each, and clones of it.

    <state>/<server>/          one PostgresServer each: "embedded", and "15" … "18" from /usr/lib/postgresql
    <state>/<server>/lock      held while server or template change
    <state>/<server>/in-use    held shared by every test process; who can take it alone stops the server

    template_<hash>            migrated, granted and bootstrapped; the hash covers all code that makes its contents
    test_<pid>_<n>             clones; the next run sweeps what a killed run left behind

conftest.py turns this into fixtures. No fixture ever lifts a guard: each test that commits has a clone of its own.
"""

import fcntl
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TextIO

import psycopg
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from auditlog_project.database import Login, Roles, apply_grants, close_database, close_schema, ensure_database
from auditlog_project.database import ensure_roles as make_roles
from auditlog_project.embedded.postgres import PostgresServer
from auditlog_project.management.commands.setup_database import bootstrap

PROJECT = Path(__file__).resolve().parent.parent
ROLES = Roles(owner="auditlog_owner", app="auditlog_app", approver="auditlog_approver")
LOGINS = {role: Login(role, f"{role} for tests") for role in (ROLES.owner, *ROLES.serving)}
ALIASES = {"default": ROLES.app, "approver": ROLES.approver, "owner": ROLES.owner}
VARIABLES = {"default": "DATABASE_URL", "approver": "DATABASE_APPROVER_URL", "owner": "DATABASE_OWNER_URL"}
# Everything that decides what a template holds.
_CONTENTS = (
    "*/migrations/**/*.*",
    "signing/*.py",
    "activity/*.py",
    "locking/*.py",
    "exports/*.py",
    "metaaudit/*.py",
    "auditlog_project/database/*.py",
    "auditlog_project/roles.py",
)
EMBEDDED = "embedded"
_KEPT_TEMPLATES = 4
_numbers = itertools.count()


def state_directory() -> Path:
    """Return the directory of the test servers, outside the checkout; one for each checkout and OS user."""
    checkout = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:8]
    default = Path(tempfile.gettempdir()) / f"auditlog-test-{os.getuid()}-{checkout}"
    state = Path(os.environ.get("AUDITLOG_TEST_STATE_DIR") or default)
    state.mkdir(parents=True, exist_ok=True, mode=0o711)
    if state.stat().st_uid != os.getuid():
        raise PermissionError(f"{state} belongs to another user; set AUDITLOG_TEST_STATE_DIR")
    return state


def server_names() -> list[str]:
    """Return the servers for tests that must hold on every version: the embedded one, and other versions around."""
    embedded = str(PostgresServer(state_directory() / EMBEDDED / "server").version)
    return [EMBEDDED, *(major for major in system_servers() if major != embedded)]


def system_servers() -> dict[str, Path]:
    """Return the binaries of each PostgreSQL (15 or newer) that the operating system has, by major version."""
    found = {path.parent.name: path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()}
    return {major: found[major] for major in sorted(found) if int(major) >= 15}


@dataclass(eq=False)
class Database:
    """One clone of the template, and the ways into it."""

    name: str
    cluster: "Cluster"
    anchors: Path
    _open: list[psycopg.Connection[Any]] = field(default_factory=list)

    def url(self, role: str = ROLES.app) -> str:
        """Return the address for a role, or for "superuser"."""
        if role == "superuser":
            return self.cluster.server.superuser_url(self.name)
        return self.cluster.server.url(role, LOGINS[role].password, self.name)

    def connect(self, role: str, *, password: str | None = None, autocommit: bool = True) -> psycopg.Connection[Any]:
        """Return a new connection, closed with the test. A role that is not one of ours needs its password."""
        address = self.url(role) if password is None else self.cluster.server.url(role, password, self.name)
        self._open.append(psycopg.connect(address, autocommit=autocommit))
        return self._open[-1]

    def app(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return self.connect(ROLES.app, autocommit=autocommit)

    def approver(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return self.connect("auditlog_approver", autocommit=autocommit)

    def owner(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return self.connect(ROLES.owner, autocommit=autocommit)

    def superuser(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return self.connect("superuser", autocommit=autocommit)

    def environment(self, *aliases: str) -> dict[str, str]:
        """Return the environment for a process of ours on this database; by default with the app's address alone."""
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
        addresses = {VARIABLES[alias]: self.url(str(ALIASES[alias])) for alias in (aliases or ("default",))}
        return inherited | addresses | {"AUDITLOG_ANCHOR_DIR": str(self.anchors)}

    @contextmanager
    def as_django_databases(self) -> Iterator[None]:
        """Point Django's connections and the anchor directory at this database."""
        before = {alias: dict(connections.settings[alias]) for alias in ALIASES}
        for alias, role in ALIASES.items():
            connections[alias].close()
            given = conninfo_to_dict(self.url(str(role)))
            names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
            connections.settings[alias].update({django: given.get(libpq, "") for django, libpq in names.items()})
        trust = str(self.anchors / "trust.vkeys")
        try:
            with override_settings(AUDITLOG_ANCHOR_DIR=str(self.anchors), AUDITLOG_TRUST_FILE=trust):
                yield
        finally:
            for alias in ALIASES:
                connections[alias].close()
                connections.settings[alias].update(before[alias])

    def close(self) -> None:
        """Close every connection handed out."""
        for connection in self._open:
            connection.close()


class Cluster:
    """One running server with the three roles and the template."""

    def __init__(self, name: str, binaries: Path | None = None) -> None:
        self.state = state_directory() / name
        self.state.mkdir(exist_ok=True, mode=0o711)
        self.server = PostgresServer(self.state / "server", binaries=binaries)
        self._in_use: TextIO = (self.state / "in-use").open("a")

    @cached_property
    def _superuser(self) -> psycopg.Connection[Any]:
        with self._alone():
            first = not self._others_use_it()
            self.server.start()
            connection = psycopg.connect(self.server.superuser_url(), autocommit=True)
            if first:
                make_roles(connection, list(LOGINS.values()))
                for (name,) in connection.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'test\_%'"):
                    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            fcntl.flock(self._in_use, fcntl.LOCK_SH)
        return connection

    def _others_use_it(self) -> bool:
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.state / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def start(self) -> None:
        """Return when the server runs and knows the three roles."""
        self._superuser.execute("SELECT 1")

    @contextmanager
    def clone(self, of: Database | None = None) -> Iterator[Database]:
        """Give a new database with anchors of its own, made from the template or from a clone that nobody uses now."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        database = Database(name, self, self.state / "anchors" / name)
        shutil.copytree(of.anchors if of else self._template, database.anchors)
        self._copy(of.name if of else self._template.name, name)
        try:
            yield database
        finally:
            database.close()
            self._superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            shutil.rmtree(database.anchors)

    def _copy(self, template: str, name: str) -> None:
        names = {"new": sql.Identifier(name), "old": sql.Identifier(template), "owner": sql.Identifier(ROLES.owner)}
        self._superuser.execute(sql.SQL("CREATE DATABASE {new} OWNER {owner} TEMPLATE {old}").format(**names))
        close_database(self._superuser, name, ROLES)

    @cached_property
    def _template(self) -> Path:
        """The directory with the template's anchors; its name is the template's name."""
        digest = hashlib.sha256(os.environ["DJANGO_SETTINGS_MODULE"].encode())  # the bench has more apps to migrate
        for path in sorted(path for pattern in _CONTENTS for path in PROJECT.glob(pattern) if path.is_file()):
            if path.suffix in {".py", ".sql"}:
                digest.update(path.name.encode() + path.read_bytes())
        anchors = self.state / "templates" / f"template_{digest.hexdigest()[:12]}"
        connection = self._superuser
        with self._alone():
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (anchors.name,)).fetchone():
                self._build_template(anchors)
        return anchors

    def _build_template(self, anchors: Path) -> None:
        shutil.rmtree(anchors, ignore_errors=True)
        anchors.mkdir(parents=True)
        building = Database("building", self, anchors)
        self._superuser.execute("DROP DATABASE IF EXISTS building WITH (FORCE)")
        ensure_database(self._superuser, "building", ROLES)
        close_database(self._superuser, "building", ROLES)
        with closing(building), building.as_django_databases():
            close_schema(building.owner(), ROLES)
            call_command("migrate", database="owner", verbosity=0)
            apply_grants(building.owner(), ROLES)
            bootstrap()
        renamed = sql.Identifier(anchors.name)
        self._superuser.execute(sql.SQL("ALTER DATABASE building RENAME TO {}").format(renamed))
        # Nobody connects to a template: a session in it would block its copies.
        self._superuser.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(renamed))
        old = r"SELECT datname FROM pg_database WHERE datname LIKE 'template\_%%' ORDER BY oid DESC OFFSET %s"
        for (name,) in self._superuser.execute(old, (_KEPT_TEMPLATES,)).fetchall():
            self._superuser.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        kept = {name for (name,) in self._superuser.execute("SELECT datname FROM pg_database")}
        for directory in anchors.parent.iterdir():
            if directory.name not in kept:
                shutil.rmtree(directory)

    def leave(self) -> None:
        """Stop the server if no other test process uses it."""
        if "_superuser" in self.__dict__:
            self._superuser.close()
            with self._alone():
                if not self._others_use_it():
                    self.server.stop()
                # Closing releases the lock, and only now may somebody else start the server again.
                self._in_use.close()
        self._in_use.close()


class Clusters:
    """The servers of this test process, each started when it is first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Cluster] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for cluster in self._running.values():
            cluster.leave()

    def __getitem__(self, name: str) -> Cluster:
        if name not in self._running:
            self._running[name] = Cluster(name, None if name == EMBEDDED else system_servers()[name])
        return self._running[name]
