"""Start, stop and ask after the embedded servers; print the environment for the launcher.

    python -m auditlog_project.embedded start | stop | status | programs
    python -m auditlog_project.embedded env [--with-approver | --with-owner] [--start]

`env` prints `export NAME='value'` lines: for workers and commands, for the web process (--with-approver), or for
set-up commands (--with-owner). `status` exits with 3 if a server is not running.
`programs` prints the directory of PostgreSQL's programs: pg_dump, pg_restore and psql of the server's own version.
"""

import argparse
import os
import sys

from .environment import Embedded, Reader, as_shell, state_directory
from .errors import EmbeddedError
from .programs import postgres_programs
from .state import prepare_state

_NOT_RUNNING = 3


def main() -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="auditlog_project.embedded", description="The embedded servers.")
    words = parser.add_subparsers(dest="word", required=True)
    for word in ("start", "stop", "status", "programs"):
        words.add_parser(word)
    env = words.add_parser("env")
    readers = env.add_mutually_exclusive_group()
    readers.add_argument("--with-approver", dest="reader", action="store_const", const=Reader.WEB)
    readers.add_argument("--with-owner", dest="reader", action="store_const", const=Reader.SETUP)
    env.add_argument("--start", action="store_true", help="start the servers first")
    options = parser.parse_args()
    try:
        if options.word == "programs":
            print(postgres_programs())
            return 0
        embedded = Embedded(prepare_state(state_directory()), os.environ)
        if options.word == "env":
            return _print_environment(embedded, options.reader or Reader.WORKER, start=options.start)
        return {"start": _start, "stop": _stop, "status": _print_status}[options.word](embedded)
    except EmbeddedError as error:
        print(f"auditlog: {error}", file=sys.stderr)
        return 1


def _start(embedded: Embedded) -> int:
    for server in embedded.servers().values():
        server.start()
    return 0


def _stop(embedded: Embedded) -> int:
    for server in embedded.servers().values():
        server.stop()
    return 0


def _print_status(embedded: Embedded) -> int:
    running = {name: server.is_running() for name, server in embedded.servers().items()}
    for name, is_running in running.items():
        print(f"{name}: {'running' if is_running else 'not running'}")
    return 0 if all(running.values()) else _NOT_RUNNING


def _print_environment(embedded: Embedded, reader: Reader, *, start: bool) -> int:
    if start:
        _start(embedded)
    print(as_shell(embedded.additions(reader), reader))
    return 0


if __name__ == "__main__":
    sys.exit(main())
