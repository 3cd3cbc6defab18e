"""The commands of docs/meta-audit.md about archiving, typed as they stand there."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from activity.services import record
from auditlog_project.roles import AUDITOR_OF_AUDITORS
from metaaudit.models import MetaArchive, MetaLog
from signing import certificates
from signing.queries import export_signer
from tests.clusters import PROJECT, Database
from tests.metaaudit.conftest import EVENT, LOGS, keyed, signed_in

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
STORAGE = {"BACKEND": "django.core.files.storage.FileSystemStorage"}


def typed() -> list[str]:
    return BLOCK.findall((PROJECT / "docs" / "meta-audit.md").read_text(encoding="utf-8"))


def test_every_command_does_what_the_page_says(fresh_database: Database, tmp_path: Path) -> None:
    archiving, looking_up = typed()
    client = signed_in("ada", "reader")
    receipt = record(EVENT)
    client.get(f"{LOGS}/{receipt.id}")
    storages = {**settings.STORAGES, "exports": {**STORAGE, "OPTIONS": {"location": str(tmp_path / "exports")}}}
    with override_settings(STORAGES=storages, AUDITLOG_META_RETENTION_DAYS=0):
        keyed("rex", AUDITOR_OF_AUDITORS)
        places = {"DIR": str(tmp_path), "CA": certificates.fingerprint(export_signer("rex").chain[-1]), "FILE": ""}
        said = [_run(line, places) for line in archiving.splitlines()]
    assert "can be archived" in said[2]
    assert "rows removed" in said[3]
    assert "archived: nothing amiss" in said[4]
    assert MetaArchive.objects.get().end_leaf > 0
    assert not MetaLog.objects.filter(user_name="ada").exists()
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **places, "LEAF": str(receipt.leaf_index)}
    found = subprocess.run(
        ["/bin/bash", "-euc", looking_up], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(found) == 2, found
    assert '"user_name":"ada"' in found[0]
    assert found[1].endswith(" ada retrieve")


def _run(line: str, places: dict[str, str]) -> str:
    """Run a line, at a time when 2020 is to come; the first one says where the file is."""
    words = [_filled(word, places) for word in shlex.split(line.replace("2020-01-01", "2090-01-01"))]
    if words[0] == "python":
        trust = [settings.AUDITLOG_TRUST_FILE if word == "trust.vkeys" else word for word in words[1:]]
        return subprocess.run([sys.executable, *trust], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert words[0] == "./auditlog"
    out = io.StringIO()
    if words[1] == "verify":
        with pytest.raises(SystemExit) as ended:
            call_command(*words[1:], stdout=out)
        assert ended.value.code == 0, out.getvalue()
    else:
        call_command(*words[1:], stdout=out)
    if words[1] == "export":
        places["FILE"] = out.getvalue().splitlines()[0]
    return out.getvalue()


def _filled(word: str, places: dict[str, str]) -> str:
    return places[word[1:]] if word.startswith("$") else word
