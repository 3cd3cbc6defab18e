"""The commands of docs/api.md, typed as they stand there, against a real server."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from activity import authority
from tests.clusters import PROJECT, Database
from tests.served import WebServer

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# As typed, but for what an answer of 400 and more means: here the end.
PROLOGUE = 'set -eu\ncurl() { command curl --silent --show-error --fail-with-body "$@"; }\n'


def commands() -> str:
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    (address, *blocks) = BLOCK.findall(page)
    assert address.startswith("export URL=")
    return "\n".join(blocks)


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(fresh_database: Database, broker: str, tmp_path: Path) -> None:
    _, key = authority.create_api_key(
        name="shop", scopes=["logs:write", "logs:read"], ledger="activity", source="shop-eu", by="ada", reason="test"
    )
    typed = commands()
    assert typed.count("curl ") > 12
    environment: dict[str, Any] = fresh_database.environment("default", "approver") | {"REDIS_URL": broker}
    with WebServer(environment, tmp_path / "web.log") as server:
        done = subprocess.run(
            ["/bin/bash", "-c", PROLOGUE + typed],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "URL": server.url, "KEY": key},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count('"verdict":"valid"') >= 6, "three entries, and three pieces of evidence"
    assert (tmp_path / "entry.tlog-proof").read_text().startswith("c2sp.org/tlog-proof@v1")
    assert (tmp_path / "tile").stat().st_size == 32
