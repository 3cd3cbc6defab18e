"""auditlog-verify.html, opened as a file in a browser without a network: says what our verifier says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from exports import names, proofs
from exports.container import is_container
from exports.verifier.files import check_files
from exports.verifier.page import FILE_NAME, page
from exports.verifier.pins import Pins, add_pins
from exports.verifier.report import Report
from signing import certificates
from signing.authorities import time_stamp
from signing.jws import public_jwk
from tests.browser.conftest import DESKTOP, PHONE, accessible
from tests.exports import altered
from tests.exports.exported import KEY_ID, entry
from tests.exports.exporting import Export, ada, checkpoint_key, members, packed
from tests.exports.sample import CONTAINER, SAMPLE
from tests.signing.local_tsa import local_tsa

EXPORT = Export()
_ANOTHER = public_jwk(KEY_ID, "Ed25519", checkpoint_key().public_key)
Given = list[tuple[str, bytes]]


class Offline:
    """The page in a browser that has no network; whatever it asks for is kept."""

    def __init__(self, window: Page, file: Path) -> None:
        self.window = window
        self.said: list[str] = []
        self.asked: list[str] = []
        window.on("console", lambda message: self.said.append(message.text))
        window.on("pageerror", lambda error: self.said.append(str(error)))
        window.on("request", lambda request: self.asked.append(request.url))
        window.goto(file.as_uri())
        self.asked.clear()

    def trust(self) -> None:
        """Pin everything that the exports of these tests are signed with."""
        self.window.get_by_label("SHA-256 of the CA").fill(certificates.fingerprint(ada().chain[0]))
        pins = {"trust.vkeys": checkpoint_key().vkey.encode(), "jwks.json": EXPORT.contents()[names.JWKS][1]}
        self.window.get_by_label("Files:").set_input_files(_payloads([*pins.items()]))

    def check(self, given: Given) -> list[dict[str, Any]]:
        """Give files to the page, and return exit status and checks of each report."""
        self.window.get_by_label("The export").set_input_files(_payloads(given))
        self.window.wait_for_selector("#results[aria-busy=false]", timeout=120_000)
        assert not self.window.locator("#problem").is_visible(), self.window.locator("#problem").inner_text()
        found: list[dict[str, Any]] = self.window.evaluate(
            """() => [...document.querySelectorAll("section.report")].map((report) => ({
                exit: Number(report.dataset.exit),
                sentence: report.querySelector("h2").textContent,
                checks: [...report.querySelectorAll("tbody tr")].map(
                    (row) => [...row.children].map((cell) => cell.textContent)),
            }))"""
        )
        return found


def _payloads(given: Given) -> list[Any]:
    return [{"name": name, "mimeType": "application/octet-stream", "buffer": raw} for name, raw in given]


@pytest.fixture
def offline(chromium: Browser, tmp_path: Path) -> Iterator[Offline]:
    (tmp_path / FILE_NAME).write_bytes(page())
    context = chromium.new_context(offline=True, viewport=DESKTOP)
    opened = Offline(context.new_page(), tmp_path / FILE_NAME)
    try:
        yield opened
        assert (opened.said, opened.asked) == ([], [])
    finally:
        context.close()


def pins() -> Pins:
    pinned = Pins({certificates.fingerprint(ada().chain[0])}, [checkpoint_key()])
    add_pins(pinned, EXPORT.contents()[names.JWKS][1], "jwks.json")
    return pinned


def assert_same(here: dict[str, Any], report: Report) -> None:
    """Require that the page said what our verifier says: the checks, their outcomes, and what they come to."""
    there = [[str(check.name), str(check.state)] for check in report.ordered()]
    assert (here["exit"], [row[:2] for row in here["checks"]]) == (report.exit_code, there), (report.table(), here)
    assert here["sentence"] == report.sentence


def same_in_both(offline: Offline, given: Given, pinned: Pins) -> list[int]:
    """Give containers to both verifiers, require the same checks with the same outcomes, and return the exit codes."""
    codes = []
    for (name, raw), here in zip(given, _checked(offline, given), strict=True):
        (report,) = check_files([(io.BytesIO(raw), name)], pinned)
        assert_same(here, report)
        codes.append(report.exit_code)
    return codes


def _checked(offline: Offline, given: Given) -> list[dict[str, Any]]:
    """Return the reports in the order of the files; what is no archive is given alone, not as one of several."""
    containers = [one for one in given if is_container(one[1][:4])]
    found = dict(zip([name for name, _ in containers], offline.check(containers), strict=True))
    for one in given:
        if one[0] not in found:
            (found[one[0]],) = offline.check([one])
    return [found[name] for name, _ in given]


def test_exports_that_are_right_are_right(offline: Offline) -> None:
    given = [*altered.sound().items()]
    assert set(same_in_both(offline, given, Pins())) == {2}
    offline.trust()
    codes = dict(zip(dict(given), same_in_both(offline, given, pins()), strict=True))
    assert codes.pop("signed with RSA") == 2  # of a CA that is not pinned
    assert set(codes.values()) == {0}, codes


@pytest.mark.parametrize(("step", "seed"), [(307, 21), pytest.param(61, 22, marks=pytest.mark.slow)])
def test_every_flipped_byte_is_refused_as_our_verifier_refuses_it(offline: Offline, step: int, seed: int) -> None:
    offline.trust()
    given = [*altered.flipped(EXPORT.container(), step, seed)]
    assert set(same_in_both(offline, given, pins())) == {1}


@pytest.mark.parametrize("attack", ["structures", "signed_again", "forged"])
def test_what_is_altered_is_refused_as_our_verifier_refuses_it(offline: Offline, attack: str) -> None:
    offline.trust()
    made = altered.structures(EXPORT.container()) if attack == "structures" else getattr(altered, attack)(EXPORT)
    assert 0 not in same_in_both(offline, [*made.items()], pins())


def test_entries_of_every_algorithm_are_verified_or_said_not_to_be(offline: Offline) -> None:
    given = [
        (algorithm, altered.of_algorithm(algorithm)) for algorithm in ("Ed25519", "ES256", "PS256", "RS256", "HS256")
    ]
    assert set(same_in_both(offline, given, Pins())) == {2}
    changed = [(name, altered.of_algorithm(name, swapped=True)) for name, _ in given if name != "HS256"]
    assert set(same_in_both(offline, changed, Pins())) == {1}
    (report,) = offline.check([("ML-DSA-65", altered.of_algorithm("ML-DSA-65"))])
    assert report["exit"] == 2
    assert ["entry signatures", "not checked"] in [row[:2] for row in report["checks"]]


@pytest.mark.parametrize("made", [altered.rotated(), altered.marked()], ids=["rotated", "marked"])
def test_keys_that_changed_and_entries_that_are_marked_are_told_as_our_verifier_does(
    offline: Offline, made: dict[str, tuple[int, str, bytes]]
) -> None:
    offline.trust()
    codes = same_in_both(offline, [(name, raw) for name, (_, _, raw) in made.items()], pins())
    assert codes == [code for code, _, _ in made.values()]
    for here, (_, words, _) in zip(
        offline.check([(name, one[2]) for name, one in made.items()]), made.values(), strict=True
    ):
        assert any(words.removesuffix("; pin") in row[2] for row in here["checks"]), (words, here)


def test_loose_files_are_checked_as_far_as_our_verifier_checks_them(offline: Offline) -> None:
    offline.trust()
    files = {member.name: b"".join(member.read()) for member in EXPORT.members()}
    together = (
        "entries.csv",
        "entries.ndjson",
        "entries.json",
        names.MANIFEST,
        proofs.NAME,
        names.CHECKPOINT,
        names.JWKS,
    )
    listed = (names.VERIFY, names.VKEYS, names.SIGNER, names.ISSUERS)
    claim = EXPORT.claim().to_json()
    sets = [
        *[[name] for name in (*together, *listed)],
        [*together],
        [names.MANIFEST, *listed],
        ["entries.csv", names.MANIFEST],
        ["entries.ndjson", proofs.NAME],
        ["entries.csv", "entries.csv"],
    ]
    given = [[(name, files[name]) for name in one] for one in sets]
    given += [[("claim.json", claim), ("entries.csv", files["entries.csv"])]]
    given += [
        [("entries.csv", files["entries.csv"].replace(b"user-4", b"user-5")), (names.MANIFEST, files[names.MANIFEST])],
        [("another.pem", files[names.SIGNER] * 2), (names.MANIFEST, files[names.MANIFEST])],
        [("no.pem", b"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")],
    ]
    for one in given:
        (here,) = offline.check(one)
        (report,) = check_files([(io.BytesIO(raw), name) for name, raw in one], pins())
        assert_same(here, report)
        assert here["exit"] != 0


def test_what_is_of_the_container_itself_is_checked_alone_as_our_verifier_does(offline: Offline) -> None:
    offline.trust()
    for name, (code, words, given) in altered.loose().items():
        (here,) = offline.check(given)
        (report,) = check_files([(io.BytesIO(raw), one) for one, raw in given], pins())
        assert_same(here, report)
        assert here["exit"] == code, name
        assert any(words in row[2] for row in here["checks"]), (name, here)


def test_what_the_page_does_not_check_is_said_to_be_so(offline: Offline, tmp_path: Path) -> None:
    offline.trust()
    with local_tsa(tmp_path, kind="ec") as tsa:
        stamped = Export(time_stamp=partial(time_stamp, tsa.url), time_stamp_authority=tsa.url).container()
    contents = EXPORT.contents() | {names.REPORT: ("application/pdf", b"%PDF-1.7\n")}
    given = [("stamped", stamped), ("report", packed(members(contents, EXPORT.claim()), EXPORT.signer))]
    for report, check in zip(offline.check(given), ("time stamp", "PDF"), strict=True):
        (said,) = [row for row in report["checks"] if row[0] == check]
        assert report["exit"] == 2
        assert said[1] == "not checked"
        assert "use auditlog-verify.pyz" in said[2]
    (alone,) = offline.check([("report.pdf", b"%PDF-1.7\n")])
    assert [row[:2] for row in alone["checks"]] == [["signature", "not checked"], ["PDF", "not checked"]]


def test_the_sample_export_is_right_as_far_as_the_page_goes(offline: Offline) -> None:
    offline.window.get_by_label("SHA-256 of the CA").fill((SAMPLE / "trust" / "fingerprint.txt").read_text().strip())
    pins = [(name, (SAMPLE / "trust" / name).read_bytes()) for name in ("trust.vkeys", "jwks.json")]
    offline.window.get_by_label("Files:").set_input_files(_payloads(pins))
    (report,) = offline.check([(CONTAINER, (SAMPLE / CONTAINER).read_bytes())])
    left = {row[0]: row[1] for row in report["checks"] if row[1] not in ("ok", "note")}
    left.pop("certificate", None)  # once it has ended, only the time stamp says that it had not then
    assert (report["exit"], left) == (2, {"time stamp": "not checked", "PDF": "not checked"})


def test_a_large_export_shows_how_far_it_is(offline: Offline) -> None:
    many = tuple(entry(number, signed=False, data={"note": "x" * 4000}) for number in range(800))
    export = Export(
        ledger=many, chosen=tuple(range(800)), complete_range=(0, 800), formats=("entries.ndjson",)
    ).container()
    offline.trust()
    offline.window.evaluate(
        """() => {
            globalThis.steps = [];
            new MutationObserver(() => steps.push([
                document.getElementById("status").textContent, document.getElementById("progress").value,
            ])).observe(document.getElementById("status"), { childList: true });
        }"""
    )
    (report,) = offline.check([("export.asice", export)])
    assert report["exit"] == 0
    steps = offline.window.evaluate("steps")
    assert len({text for text, _ in steps}) > 3, "the page is drawn while it works"
    assert [part for _, part in steps] == sorted(part for _, part in steps)
    most = f"{-(-len(export) * 3 // 1_000_000)}"
    assert all(re.fullmatch(rf"Checking: \d+ MB read, of at most {most}", text) for text, _ in steps), steps[0]


def test_what_is_too_large_for_the_page_is_said_at_once(offline: Offline, tmp_path: Path) -> None:
    file = tmp_path / "huge.asice"
    with file.open("wb") as sparse:
        sparse.truncate(2_000_000_000)
    offline.window.get_by_label("The export").set_input_files(file)
    problem = offline.window.get_by_role("alert")
    problem.wait_for()
    said = "Not checked: 2,000 MB are more than the 1,000 MB that this page takes at once. Use auditlog-verify.pyz"
    assert problem.inner_text().startswith(said)
    assert offline.window.locator("section.report").count() == 0


@pytest.mark.parametrize(
    ("fingerprint", "file", "reason"),
    [
        ("nothing", None, "no fingerprint"),
        ("", b"junk", "no certificate, trust file or JWK Set"),
        ("", b"{}", "not a JWK Set"),
        ("", json.dumps({"keys": [_ANOTHER] * 2}).encode(), "a key id is in it twice"),
    ],
)
def test_a_pin_that_is_none_is_named_and_nothing_is_checked(
    offline: Offline, fingerprint: str, file: bytes | None, reason: str
) -> None:
    offline.window.get_by_label("SHA-256 of the CA").fill(fingerprint)
    if file is not None:
        offline.window.get_by_label("Files:").set_input_files(_payloads([("pins", file)]))
    offline.window.get_by_label("The export").set_input_files(_payloads([("a", EXPORT.container())]))
    problem = offline.window.get_by_role("alert")
    problem.wait_for()
    assert reason in problem.inner_text()
    assert offline.window.locator("section.report").count() == 0


def test_a_key_that_two_pins_differ_about_is_refused(offline: Offline) -> None:
    another = json.dumps({"keys": [_ANOTHER]}).encode()
    both = [("jwks.json", EXPORT.contents()[names.JWKS][1]), ("other.json", another)]
    offline.window.get_by_label("Files:").set_input_files(_payloads(both))
    offline.window.get_by_label("The export").set_input_files(_payloads([("a", EXPORT.container())]))
    problem = offline.window.get_by_role("alert")
    problem.wait_for()
    assert f"other.json: the key '{KEY_ID}' is pinned already" in problem.inner_text()


def test_pins_that_come_later_are_used_by_checking_again(offline: Offline) -> None:
    (before,) = offline.check([("export.asice", EXPORT.container())])
    offline.trust()
    offline.window.get_by_role("button", name="Check again with these").click()
    offline.window.wait_for_selector("section.report.good")
    assert before["exit"] == 2
    assert "All is right" in offline.window.get_by_role("heading", level=2).inner_text()


def test_nothing_in_an_export_can_load_send_or_run_anything(offline: Offline) -> None:
    evil = '<img src="http://127.0.0.1:9/x" onerror="document.title=1"><script>document.title=1</script>'
    offline.check([("<b>export</b>.asice", Export(purpose=evil).container())])
    assert offline.window.title() == "auditlog: verify an export offline"
    assert evil in offline.window.locator("section.report").inner_text()
    policy = offline.window.locator("meta[http-equiv]").get_attribute("content") or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    # The policy holds even for a script that came in: the fetch is refused before it leaves, and says so.
    blocked = offline.window.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert blocked == "refused"
    assert any("Content Security Policy" in text for text in offline.said)
    offline.said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible_in_every_shape(offline: Offline, scheme: Any, size: Any) -> None:
    offline.window.emulate_media(color_scheme=scheme)
    offline.window.set_viewport_size(size)
    broken = EXPORT.container().replace(b"user-4", b"user-5", 1)
    offline.check([("right.asice", EXPORT.container()), ("broken.asice", broken)])
    offline.asked.clear()
    accessible(offline.window)
