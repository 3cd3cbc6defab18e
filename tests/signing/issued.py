"""Certificates for tests: a CA and people whom it certifies, in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from signing.algorithms import ALGORITHMS
from signing.certificates import Certified
from signing.issuing import issue

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2056, 1, 1, tzinfo=UTC)


def authority(name: str = "Example CA", algorithm: str = "ES256") -> Certified:
    """Return a CA."""
    private, public = ALGORITHMS[algorithm].generate()
    sign = ALGORITHMS[algorithm].load_private(private)
    certificate = issue(
        name=name,
        organization="Example",
        public_key=public,
        not_before=START,
        not_after=END,
        issuer=None,
        algorithm=algorithm,
        sign=sign,
    )
    return Certified(certificate, (), algorithm, sign)


def person(
    ca: Certified, name: str = "Ada Lovelace", algorithm: str = "ES256", *, valid: timedelta = END - START
) -> Certified:
    """Return somebody whom the CA certified, from START on for `valid`."""
    private, public = ALGORITHMS[algorithm].generate()
    sign = ALGORITHMS[algorithm].load_private(private)
    certificate = issue(
        name=name,
        organization="Example",
        public_key=public,
        not_before=START,
        not_after=START + valid,
        issuer=ca,
        algorithm=algorithm,
        sign=sign,
    )
    return Certified(certificate, (ca.certificate,), algorithm, sign)
