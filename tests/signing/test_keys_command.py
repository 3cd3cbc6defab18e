"""`keys` as an administrator types it: each step, what it prints, and what it refuses in one line."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from signing import anchors, key_texts, trust
from signing.algorithms import ALGORITHMS
from signing.checkpoint import Checkpoint, NoteKey, sign
from signing.models import KeyWindow, SigningKey
from tests.signing.installation import active_key, anchor_all, record

pytestmark = pytest.mark.usefixtures("fresh_database")
WHY = ("--reason", "a test", "--by", "ann")


def keys(*arguments: str) -> str:
    output = io.StringIO()
    call_command("keys", *arguments, stdout=output)
    return output.getvalue()


def refusal(*arguments: str) -> str:
    with pytest.raises(CommandError) as refused:
        keys(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def newest_anchor(ledger: str) -> str:
    return str(anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR) / ledger)[-1].path)


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_the_list_shows_every_key_and_what_it_signs() -> None:
    listed = keys("list")
    assert listed == keys()
    heading, *rows = listed.splitlines()
    assert heading.split() == ["ID", "PURPOSE", "ALGORITHM", "STATE", "SINCE", "(UTC)", "SIGNS"]
    assert len(rows) == 2
    assert "activity from 0; meta from 0" in next(row for row in rows if " entry " in row)


def test_without_keys_the_list_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SigningKey, "objects", SigningKey.objects.none())
    assert keys("list").strip() == key_texts.NO_KEYS


def test_hmac_is_marked_wherever_it_is_shown() -> None:
    assert "HMAC" not in keys("list")
    for shown in (keys("rotate", "--algorithm", "HS256", *WHY), keys("list")):
        assert "not verifiable by outsiders" in shown
    assert "HS256 (HMAC: not verifiable by outsiders" in keys("show", active_key(algorithm="HS256").id)


def test_a_key_in_full_shows_its_public_half_and_its_life() -> None:
    entry, checkpoint = keys("show", active_key().id), keys("show", active_key("checkpoint").id)
    assert '"kty": "OKP"' in entry
    assert "key.activated by setup: set-up" in entry
    assert trust.parse("\n".join(line.split()[1] for line in checkpoint.splitlines() if line.startswith("vkey")))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rotation_opens_a_slot_and_then_replaces_its_key(algorithm: str) -> None:
    keys("rotate", "--algorithm", algorithm, *WHY)
    first = active_key(algorithm=algorithm)
    said = keys("rotate", "--algorithm", algorithm, *WHY)
    assert f"{active_key(algorithm=algorithm)} is active" in said
    assert f"{first} is retired. What it signed stays valid." in said


def test_after_rotating_a_checkpoint_key_the_new_vkeys_are_printed() -> None:
    old = active_key("checkpoint")
    said = keys("rotate", "--purpose", "checkpoint", *WHY)
    newest = SigningKey.objects.exclude(pk=old.pk).get(purpose="checkpoint", state="active")
    vkeys = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert {key.public_key for key in trust.parse("\n".join(vkeys))} == {bytes(newest.public_key)}
    assert f"keys retire {old}" in said
    assert "is retired. The checkpoints that it signed stay valid." in keys("retire", old.id, *WHY)


def test_a_stolen_key_is_believed_up_to_the_newest_anchor_before_the_theft() -> None:
    record(3)
    anchor_all()
    since = now()
    record(2)
    anchor_all()
    stolen = active_key()
    size = anchors.read_all(Path(newest_anchor("activity")))[0].note.splitlines()[1]
    said = keys("compromise", stolen.id, "--since", since, *WHY)
    window = KeyWindow.objects.get(key=stolen, ledger__name="activity")
    assert window.untrusted_from_leaf == int(size) - 2
    assert f"activity: its entries stay valid up to leaf {int(size) - 3}" in said
    assert "meta: it signed nothing here" in said
    assert f"{active_key()} is active" in said


def test_a_given_anchor_counts_for_the_ledger_of_its_origin() -> None:
    record(1)
    anchor_all()
    stolen = active_key()
    said = keys("compromise", stolen.id, "--anchor", newest_anchor("activity"), *WHY)
    assert "activity: all that it signed stays valid" in said


def test_without_an_anchor_nothing_is_believed_and_that_must_be_said() -> None:
    record(1)
    stolen = active_key()
    assert "--trust-nothing says so" in refusal("compromise", stolen.id, *WHY)
    old = (datetime.now(UTC) - timedelta(days=99)).isoformat()
    assert "No anchor that is old enough was found for activity" in refusal(
        "compromise", stolen.id, "--since", old, *WHY
    )
    assert active_key() == stolen
    assert "nothing that it signed stays valid" in keys("compromise", stolen.id, "--trust-nothing", *WHY)


def test_a_stolen_checkpoint_key_brings_new_vkeys_and_names_the_old_ones() -> None:
    anchor_all()
    stolen = active_key("checkpoint")
    said = keys("compromise", stolen.id, "--since", now(), *WHY)
    assert "activity: its checkpoints are believed up to" in said
    before, _, after = said.partition("and take out what pins the stolen key:")
    for line in key_texts.vkeys(stolen):
        assert line in after
    for line in key_texts.vkeys(active_key("checkpoint")):
        assert line in before


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("yesterday", "is no time; write it as"),
        ("2026-11-23T03:00", "has no time zone"),
        ("2999-01-01T00:00Z", "lies in the future"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(time: str, message: str) -> None:
    assert message in refusal("compromise", active_key().id, "--since", time, *WHY)


def test_an_anchor_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    private, public = ALGORITHMS["Ed25519"].generate()
    ours = f"{settings.AUDITLOG_ORIGIN}/activity"
    for origin, message in (("elsewhere/activity", "which is no ledger here"), (ours, "not signed by any")):
        forged = tmp_path / "forged.checkpoint"
        signer = ALGORITHMS["Ed25519"].load_private(private)
        forged.write_text(sign(Checkpoint(origin, 1, bytes(32)), [(NoteKey(origin, public), signer)]), "utf-8")
        assert message in refusal("compromise", active_key().id, "--anchor", str(forged), *WHY)
    assert "Nothing was changed" in refusal("compromise", active_key().id, "--anchor", str(tmp_path / "none"), *WHY)


def test_since_needs_an_anchor_directory() -> None:
    with override_settings(AUDITLOG_ANCHOR_DIR=""):
        assert "AUDITLOG_ANCHOR_DIR is not set" in refusal("compromise", active_key().id, "--since", now(), *WHY)


def test_a_private_half_is_erased_only_when_it_is_meant() -> None:
    keys("rotate", "--algorithm", "HS256", *WHY)
    old = active_key(algorithm="HS256")
    keys("rotate", "--algorithm", "HS256", *WHY)
    assert "Nobody can verify what it signed afterwards" in refusal("destroy", old.id, *WHY)
    assert f"{old} is destroyed" in keys("destroy", old.id, "--yes", *WHY)


def test_refusals_of_the_services_come_as_one_line() -> None:
    assert "there is no key 'nobody'; `./auditlog keys list` shows them" in refusal("show", "nobody")
    assert "rotate first" in refusal("retire", active_key("checkpoint").id, *WHY)
    assert "--reason and --by must say something" in refusal("rotate", "--reason", " ")
    with override_settings(AUDITLOG_MASTER_KEY=""):
        assert "AUDITLOG_MASTER_KEY or AUDITLOG_MASTER_KEY_FILE is not set" in refusal("rotate", *WHY)


def test_whoever_runs_it_is_recorded_unless_somebody_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "night-watch")
    keys("rotate", "--reason", "yearly")
    assert "key.activated by night-watch: yearly" in keys("show", active_key().id)
