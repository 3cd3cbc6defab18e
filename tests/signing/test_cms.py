"""CMS signatures: OpenSSL takes them, and no byte of one can be changed."""

import random
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from signing import cms
from signing.certificates import Certified, to_pem
from signing.errors import BadCmsError
from tests.signing.issued import authority, person

# A flipped byte may make a serial number negative; what is looked at is the refusal, not the library's warning.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

AT = datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
CONTENT = b"<xml/>\n"
DIGEST = sha256(CONTENT).digest()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_openssl_verifies_it(tmp_path: Path, algorithm: str) -> None:
    ada = person(authority(algorithm=algorithm), algorithm=algorithm)
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "signature.p7s").write_bytes(cms.sign(DIGEST, ada, at=AT))
    (tmp_path / "ca.pem").write_bytes(to_pem(ada.chain))
    command = "openssl cms -verify -binary -inform DER -in signature.p7s -content content -CAfile ca.pem -purpose any"
    done = subprocess.run([*command.split(), "-out", "out"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "CMS Verification successful"
    (tmp_path / "content").write_bytes(CONTENT + b" ")
    assert subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_what_was_signed_comes_back() -> None:
    ada = person(authority())
    found = cms.verify(cms.sign(DIGEST, ada, at=AT), DIGEST)
    assert (found.certificate, found.chain, found.signing_time) == (ada.certificate, ada.chain, AT)
    assert found.time_stamp is None


def test_other_content_and_another_key_are_refused() -> None:
    ca = authority()
    ada, eve = person(ca), person(ca)
    with pytest.raises(BadCmsError, match="other content"):
        cms.verify(cms.sign(DIGEST, ada, at=AT), sha256(b"other").digest())
    forged = cms.sign(DIGEST, Certified(ada.certificate, ada.chain, "ES256", eve.sign), at=AT)
    with pytest.raises(BadCmsError, match="not that of its certificate"):
        cms.verify(forged, DIGEST)


def test_certificates_that_do_not_belong_are_refused() -> None:
    ada = person(authority())
    for chain in ((), (authority("Other").certificate,), (*ada.chain, authority("Other").certificate)):
        with pytest.raises(BadCmsError):
            cms.verify(cms.sign(DIGEST, Certified(ada.certificate, chain, "ES256", ada.sign), at=AT), DIGEST)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_every_flipped_byte_is_refused(algorithm: str) -> None:
    raw = cms.sign(DIGEST, person(authority(algorithm="ES256"), algorithm=algorithm), at=AT)
    generator = random.Random(8)
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << generator.randrange(8)
        with pytest.raises(BadCmsError):
            cms.verify(bytes(changed), DIGEST)


@pytest.mark.parametrize("junk", [b"", b"0", b"\x30\x00", b"\x30\x80" * 5000, bytes(2 << 20)])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(BadCmsError):
        cms.verify(junk, DIGEST)
