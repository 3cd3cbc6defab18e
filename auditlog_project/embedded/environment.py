"""The environment in which the project finds the embedded servers and the secrets of this machine.

    <state>/secrets/serving.env   SECRET_KEY and the passwords of the roles that serve, made at the first run
    <state>/secrets/owner.env     the password of the role that owns the tables
    <state>/secrets/master.key    base64 of 32 bytes (AUDITLOG_MASTER_KEY_FILE)

What the user has set himself always wins. With a DATABASE_URL of his the embedded PostgreSQL is not started and no
secret is made up: a server that others share needs secrets that somebody keeps.
Serving processes never get the addresses of owner and superuser, the web process alone gets the approver's.
"""

import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .postgres import PostgresServer
from .state import kept_secret, prepare_state, private
from .valkey import ValkeyServer

PROJECT = Path(__file__).resolve().parents[2]
DATABASE = "auditlog"
_APPROVER_ADDRESS = frozenset({"DATABASE_APPROVER_URL"})
_OWNER_ADDRESSES = frozenset({"DATABASE_OWNER_URL", "DATABASE_ADMIN_URL"})
_NONE: frozenset[str] = frozenset()


class Reader(Enum):
    """Who gets the environment: the value is the names of the addresses that he must not have."""

    WORKER = _APPROVER_ADDRESS | _OWNER_ADDRESSES
    WEB = _OWNER_ADDRESSES
    SETUP = _NONE


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return AUDITLOG_STATE_DIR, else a directory outside root's home for root, else one in the project."""
    if chosen := environ.get("AUDITLOG_STATE_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        # The project may lie in root's home, where the servers' users must not get in.
        return Path("/var/lib/auditlog") / hashlib.sha256(os.fsencode(PROJECT)).hexdigest()[:8]
    return PROJECT / ".auditlog"


@dataclass(frozen=True)
class Embedded:
    """The embedded servers that the user's environment leaves to us, and what we add to that environment."""

    state: Path
    given: Mapping[str, str]

    @property
    def postgres(self) -> PostgresServer | None:
        """Return the PostgreSQL server, or None if the user has his own."""
        return None if self.given.get("DATABASE_URL") else PostgresServer(self.state)

    @property
    def valkey(self) -> ValkeyServer | None:
        """Return the Valkey server, or None if the user has his own."""
        return None if self.given.get("REDIS_URL") else ValkeyServer(self.state)

    def servers(self) -> dict[str, PostgresServer | ValkeyServer]:
        """Return the servers that are ours, by name."""
        named = {"PostgreSQL": self.postgres, "Valkey": self.valkey}
        return {name: server for name, server in named.items() if server}

    def additions(self, reader: Reader) -> dict[str, str]:
        """Return what `reader` needs beyond what the user has set; makes secrets that are missing."""
        added = {}
        if valkey := self.valkey:
            added["REDIS_URL"] = valkey.url
        if postgres := self.postgres:
            added |= self._addresses(postgres) | self._secrets()
        left = {name: value for name, value in added.items() if name not in reader.value and not self.given.get(name)}
        # For the launcher, which keeps its own files there; absolute, whatever the user wrote.
        return left | {"AUDITLOG_STATE_DIR": str(self.state)}

    def _addresses(self, postgres: PostgresServer) -> dict[str, str]:
        serving, owner = self._kept("serving.env"), self._kept("owner.env")
        return {
            "DATABASE_URL": postgres.url("auditlog_app", serving["APP_PASSWORD"], DATABASE),
            "DATABASE_APPROVER_URL": postgres.url("auditlog_approver", serving["APPROVER_PASSWORD"], DATABASE),
            "DATABASE_OWNER_URL": postgres.url("auditlog_owner", owner["OWNER_PASSWORD"], DATABASE),
            "DATABASE_ADMIN_URL": postgres.superuser_url(),
        }

    def _secrets(self) -> dict[str, str]:
        made = {
            "SECRET_KEY": self._kept("serving.env")["SECRET_KEY"],
            # This machine's own browser only, and so without TLS.
            "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
            "SECURE_TRANSPORT": "off",
            "AUDITLOG_ANCHOR_DIR": str(private(self.state / "anchors")),
            "AUDITLOG_EXPORT_DIR": str(private(self.state / "exports")),
        }
        if not self.given.get("AUDITLOG_MASTER_KEY"):
            file = self._secret_directory() / "master.key"
            kept_secret(file, lambda: base64.b64encode(secrets.token_bytes(32)).decode())
            made["AUDITLOG_MASTER_KEY_FILE"] = str(file)
        return made

    def _secret_directory(self) -> Path:
        return private(prepare_state(self.state) / "secrets")

    def _kept(self, name: str) -> dict[str, str]:
        made = {
            "serving.env": ("SECRET_KEY", "APP_PASSWORD", "APPROVER_PASSWORD"),
            "owner.env": ("OWNER_PASSWORD",),
        }[name]
        text = kept_secret(
            self._secret_directory() / name,
            lambda: "\n".join(f"{variable}={secrets.token_urlsafe(48)}" for variable in made),
        )
        return dict(line.split("=", 1) for line in text.splitlines())


def as_shell(additions: Mapping[str, str], reader: Reader) -> str:
    """Return lines for a POSIX shell that set the additions and take away what `reader` must not have."""
    lines = [f"unset {name}" for name in sorted(reader.value)]
    for name, value in additions.items():
        quoted = value.replace("'", "'\\''")
        lines.append(f"export {name}='{quoted}'")
    return "\n".join(lines)
