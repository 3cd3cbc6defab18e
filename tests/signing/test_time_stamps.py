"""Time stamps of a real authority (`openssl ts`), and what becomes of one that was changed."""

import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from signing import cms, time_stamps
from signing.authorities import time_stamp
from signing.certificates import read, to_pem
from signing.errors import BadCmsError, BadTimeStampError
from tests.signing.issued import authority, person
from tests.signing.local_tsa import OPENSSL, LocalTsa, local_tsa

CONTENT = b"stamped"
DIGEST = sha256(CONTENT).digest()


@pytest.fixture(scope="module", params=["rsa:2048", "ec"])
def tsa(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with local_tsa(tmp_path_factory.mktemp("tsa"), kind=request.param) as running:
        yield running


def test_openssl_and_we_agree(tsa: LocalTsa, tmp_path: Path) -> None:
    token = time_stamp(tsa.url, DIGEST)
    stamp = time_stamps.verify(token, DIGEST)
    assert abs(stamp.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert list(stamp.chain) == read(tsa.root.read_bytes())
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "content").write_bytes(CONTENT)
    command = [OPENSSL, "ts", "-verify", "-token_in", "-in", "token", "-data", "content", "-CAfile", str(tsa.root)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout


def test_a_stamp_of_something_else_is_refused(tsa: LocalTsa) -> None:
    token = time_stamp(tsa.url, DIGEST)
    with pytest.raises(BadTimeStampError, match="something else"):
        time_stamps.verify(token, sha256(b"other").digest())


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_byte_is_refused(tsa: LocalTsa, step: int) -> None:
    token = time_stamp(tsa.url, DIGEST)
    generator = random.Random(9)
    for place in range(0, len(token), step):
        changed = bytearray(token)
        changed[place] ^= 1 << generator.randrange(8)
        with pytest.raises(BadTimeStampError):
            time_stamps.verify(bytes(changed), DIGEST)


def test_an_answer_to_another_request_is_refused(tsa: LocalTsa) -> None:
    query, _ = time_stamps.request(DIGEST)
    tsa.instead = tsa.stamp(query)
    try:
        with pytest.raises(BadTimeStampError, match="another request"):
            time_stamp(tsa.url, DIGEST)
        tsa.instead = b"<html>"
        with pytest.raises(BadTimeStampError, match="no time stamp"):
            time_stamp(tsa.url, DIGEST)
    finally:
        tsa.instead = None


def test_an_authority_that_does_not_answer_is_named() -> None:
    with pytest.raises(BadTimeStampError, match="does not answer"):
        time_stamp("http://127.0.0.1:9/", DIGEST)
    with pytest.raises(BadTimeStampError, match="no address"):
        time_stamp("file:///etc/passwd", DIGEST)


def both(raw: bytes) -> None:
    found = cms.verify(raw, DIGEST)
    time_stamps.verify(found.time_stamp or b"", sha256(found.signature).digest())


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_a_signature_carries_its_stamp_and_openssl_takes_it(tsa: LocalTsa, tmp_path: Path, step: int) -> None:
    ada = person(authority())
    raw = cms.sign(DIGEST, ada, at=datetime.now(UTC), time_stamp=partial(time_stamp, tsa.url))
    found = cms.verify(raw, DIGEST)
    assert found.time_stamp is not None
    time_stamps.verify(found.time_stamp, sha256(found.signature).digest())
    (tmp_path / "p7s").write_bytes(raw)
    (tmp_path / "content").write_bytes(CONTENT)
    command = [OPENSSL, "cms", "-verify", "-binary", "-inform", "DER", "-in", "p7s", "-content", "content", "-noverify"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "CMS Verification successful" in done.stderr
    generator = random.Random(10)
    for place in range(0, len(raw), step):
        changed = bytearray(raw)
        changed[place] ^= 1 << generator.randrange(8)
        with pytest.raises((BadCmsError, BadTimeStampError)):
            both(bytes(changed))


def test_issuers_that_do_not_lead_to_a_root_are_left_out(tsa: LocalTsa) -> None:
    query, nonce = time_stamps.request(DIGEST)
    own = tsa.directory / "ca.pem"
    whole = own.read_bytes()
    stranger = authority("Stranger")
    own.write_bytes(whole + to_pem([stranger.certificate]))
    try:
        token = time_stamps.token_of(tsa.stamp(query), DIGEST, nonce)
    finally:
        own.write_bytes(whole)
    assert time_stamps.verify(token, DIGEST).chain == ()


def test_a_certificate_that_stamps_nothing_is_refused() -> None:
    ada = person(authority())
    with pytest.raises(BadTimeStampError):
        time_stamps.verify(cms.sign(DIGEST, ada, at=datetime.now(UTC)), DIGEST)
