"""Exports brought to the page: the verification tool says what is right, what is wrong and what cannot be told."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings

from activity.services import record_many
from exports import names, proofs, services
from signing import export_keys
from signing.models import ExportCertificate
from tests.clusters import Database
from tests.exports.ordering import made, orders
from tests.signing.local_tsa import local_tsa


@pytest.fixture
def container(olivia: User) -> bytes:
    record_many(orders(6))
    return b"".join(services.download(export=made(olivia), by=olivia).pieces)


def brought(*files: bytes) -> tuple[int, str]:
    response = Client().post("/verify/", {"file": [SimpleUploadedFile("of-an-export", raw) for raw in files]})
    return response.status_code, response.content.decode()


def inside(container: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        return archive.read(name)


def test_an_export_of_ours_is_right(container: bytes) -> None:
    status, page = brought(container)
    assert status == 200
    assert "All is right: nothing was changed, and every key that signed is pinned." in page
    assert "WRONG" not in page


def test_a_changed_one_is_not(container: bytes) -> None:
    at = container.index(b"actor-1")
    status, page = brought(container[:at] + b"actor-9" + container[at + 7 :])
    assert status == 200
    assert "Something was CHANGED or does not belong: do not rely on it." in page


@pytest.mark.parametrize("name", ["entries.csv", "entries.ndjson", names.MANIFEST, names.JWKS, proofs.NAME])
def test_a_file_of_an_export_is_checked_as_far_as_it_goes_alone(container: bytes, name: str) -> None:
    status, page = brought(inside(container, name))
    assert status == 200
    assert "something cannot be told" in page
    assert "not checked" in page
    assert "WRONG" not in page


def test_several_files_of_an_export_are_checked_together(container: bytes) -> None:
    table, manifest = inside(container, "entries.csv"), inside(container, names.MANIFEST)
    assert "as the manifest lists them: entries.csv" in brought(table, manifest)[1]
    assert "entries.csv is not the file that the manifest lists" in brought(table.replace(b"o/1", b"o/7"), manifest)[1]
    page = brought(container, container)[1]
    assert page.count("All is right") == 2


def test_entries_that_were_marked_are_told_first(olivia: User, site: Database) -> None:
    receipts = record_many(orders(3))
    intruder = site.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("DELETE FROM activity_logs WHERE id = %s", [receipts[1].id])
    page = brought(b"".join(services.download(export=made(olivia), by=olivia).pieces))[1]
    assert re.search("<h2[^>]*>Entries in it are marked", page)
    assert "1 entries did not verify: 1 missing" in page


def test_a_stolen_key_vouches_for_nothing(container: bytes) -> None:
    key = ExportCertificate.objects.get(person="olivia")
    export_keys.revoke(key_id=key.key_id, by="ada", reason="stolen", stolen=True)
    assert "All is right" not in brought(container)[1]


def test_a_time_stamp_is_believed_of_the_authorities_that_the_settings_name(olivia: User, tmp_path: Path) -> None:
    record_many(orders(6))
    with local_tsa(tmp_path) as authority, override_settings(AUDITLOG_TSA_URL=authority.url):
        stamped = b"".join(services.download(export=made(olivia), by=olivia).pieces)
    assert "that authority is not pinned" in brought(stamped)[1]
    assert "All is right" not in brought(stamped)[1]
    with override_settings(AUDITLOG_TSA_CERTIFICATES=str(authority.root)):
        assert "All is right" in brought(stamped)[1]


def test_what_is_too_large_is_refused_unread(container: bytes) -> None:
    with override_settings(AUDITLOG_UPLOAD_MAX_BYTES=1_000):
        assert brought(container)[0] == 413


def sent(raw: bytes) -> dict[str, object]:
    response = Client().post("/api/v1/verify", raw, content_type="application/vnd.etsi.asic-e+zip")
    assert response.status_code == 200, response.content
    said: dict[str, object] = response.json()
    return said


def sent_as_form(*files: bytes, **others: Any) -> tuple[int, Any]:
    parts = {"file": [SimpleUploadedFile(f"file-{at}", raw) for at, raw in enumerate(files)], **others}
    response = Client().post("/api/v1/verify", parts)
    return response.status_code, response.json()


def test_the_api_takes_loose_files_of_an_export_as_a_form(container: bytes) -> None:
    table, manifest = inside(container, "entries.csv"), inside(container, names.MANIFEST)
    status, said = sent_as_form(table, manifest, container)
    assert status == 200
    whole, loose = said["reports"]
    assert (whole["file"], whole["outcome"]) == ("file-2", "valid")
    assert (loose["file"], loose["outcome"]) == ("file-0, file-1", "cannot_tell")
    assert "as the manifest lists them: entries.csv" in [check["text"] for check in loose["checks"]]
    changed = sent_as_form(table.replace(b"o/1", b"o/7"), manifest)[1]["reports"]
    assert [report["outcome"] for report in changed] == ["tampered"]
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        every = sent_as_form(*map(archive.read, archive.namelist()))[1]["reports"]
    assert [report["outcome"] for report in every] == ["valid"]


def test_what_is_no_form_of_files_is_refused(container: bytes) -> None:
    with override_settings(AUDITLOG_UPLOAD_MAX_BYTES=1_000):
        status, said = sent_as_form(container)
    assert (status, said["code"]) == (413, "too-much")
    for others in ({"record": "x"}, {"other": SimpleUploadedFile("x", b"x")}):
        status, said = sent_as_form(container, **others)
        assert (status, said["code"]) == (400, "bad-evidence")
        assert "each of them in a part named 'file'" in said["detail"]
    assert sent_as_form()[0] == 400
    assert Client().post("/api/v1/verify", {"file": "a text"}).status_code == 400
    broken = Client().post("/api/v1/verify", b"x", content_type="multipart/form-data")
    assert (broken.status_code, broken.json()["code"]) == (400, "bad-evidence")
    assert sent_as_form(*[b"x"] * 101)[0] == 400


def test_the_api_takes_exports_too(container: bytes) -> None:
    assert sent(container)["outcome"] == "valid"
    assert sent(container[:-1])["outcome"] == "tampered"
    assert sent(b"no export at all")["outcome"] != "valid"
    with override_settings(AUDITLOG_UPLOAD_MAX_BYTES=1_000):
        large = Client().post("/api/v1/verify", container, content_type="application/vnd.etsi.asic-e+zip")
    assert (large.status_code, large.json()["code"]) == (413, "too-much")
