"""signing/jws.py: joserfc and PyJWT verify what we make, we verify what they make, and strict reading."""

import base64
import functools
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, OctKey

from signing import jws
from signing.algorithms import ALGORITHMS
from signing.errors import BadJwsError, SigningError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "jws.json").read_text())
OUR_NAMES = {"EdDSA": "Ed25519"}
NAMES = ["Ed25519", "HS256", "PS256", "RS256", "ES256"]
IN_JWKS = [name for name in NAMES if name != "HS256"]
RECORD = '{"action":"login","actor":"zoë","v":1}'.encode()
PROTECTED = jws.protected("Ed25519", "k1")
COMPACT = jws.compact(PROTECTED, RECORD, bytes(range(64)))

# RFC 9864 names the curve in `alg` ("Ed25519"); libraries still know "EdDSA" alone, joserfc says so with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")


@functools.cache
def key_pair(name: str) -> tuple[bytes, bytes]:
    return ALGORITHMS[name].generate()


def signed(name: str) -> str:
    protected = jws.protected(name, f"kid-{name}")
    signature = ALGORITHMS[name].load_private(key_pair(name)[0])(jws.signing_input(protected, RECORD))
    return jws.compact(protected, RECORD, signature)


def jwks() -> dict[str, Any]:
    """Return what /.well-known/jwks.json serves, the key that JOSE libraries do not know yet included."""
    names = [*IN_JWKS, "ML-DSA-65"]
    return {"keys": [jws.public_jwk(f"kid-{name}", name, key_pair(name)[1]) for name in names]}


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


# Other libraries


@pytest.mark.parametrize("name", IN_JWKS)
def test_joserfc_verifies_our_jws_from_the_jwks(name: str) -> None:
    keys = KeySet.import_key_set(jwks())  # type: ignore[arg-type]  # a plain dict, as read from the network
    verified = joserfc_jws.deserialize_compact(signed(name), keys, algorithms=[ALGORITHMS[name].jose_name])
    assert verified.payload == RECORD
    assert verified.headers()["kid"] == f"kid-{name}"


@pytest.mark.parametrize("name", IN_JWKS)
def test_pyjwt_verifies_our_jws_from_the_jwks(name: str) -> None:
    key = jwt.PyJWKSet.from_dict(jwks())[f"kid-{name}"]
    verified = jwt.api_jws.decode_complete(signed(name), key.key, algorithms=[ALGORITHMS[name].jose_name])
    assert verified["payload"] == RECORD


@pytest.mark.parametrize("name", IN_JWKS)
def test_both_libraries_refuse_our_jws_with_another_record(name: str) -> None:
    header, _, signature = signed(name).split(".")
    forged = f"{header}.{encoded(RECORD + b' ')}.{signature}"
    jose_name = ALGORITHMS[name].jose_name
    keys = KeySet.import_key_set(jwks())  # type: ignore[arg-type]  # as above
    joserfc_jws.deserialize_compact(signed(name), keys, algorithms=[jose_name])
    with pytest.raises(BadSignatureError):
        joserfc_jws.deserialize_compact(forged, keys, algorithms=[jose_name])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.api_jws.decode(forged, jwt.PyJWKSet.from_dict(jwks())[f"kid-{name}"].key, algorithms=[jose_name])


def test_both_libraries_verify_hs256_with_the_secret() -> None:
    secret = key_pair("HS256")[0]
    verified = joserfc_jws.deserialize_compact(signed("HS256"), OctKey.import_key(secret), algorithms=["HS256"])
    assert verified.payload == RECORD
    assert jwt.api_jws.decode_complete(signed("HS256"), secret, algorithms=["HS256"])["payload"] == RECORD


@pytest.mark.parametrize("library", ["joserfc", "pyjwt"])
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["alg"])
def test_we_verify_what_other_libraries_signed(vector: dict[str, str], library: str) -> None:
    algorithm = ALGORITHMS[OUR_NAMES.get(vector["alg"], vector["alg"])]
    if vector["secret"]:
        verify = algorithm.load_secret(bytes.fromhex(vector["secret"]))
    else:
        verify = algorithm.load_public(bytes.fromhex(vector["public"]))
    parsed = jws.parse(vector[library])
    assert parsed.header == {"alg": vector["alg"], "kid": vector["kid"], "typ": "activity-entry"}
    assert parsed.payload.decode() == vector["record"]
    assert verify(parsed.signature, parsed.signing_input)
    assert not verify(parsed.signature, parsed.signing_input + b"A")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["alg"])
def test_our_jwk_is_that_of_joserfc(vector: dict[str, Any]) -> None:
    name = OUR_NAMES.get(vector["alg"], vector["alg"])
    jwk = jws.public_jwk("k1", name, bytes.fromhex(vector["public"]))
    expected = vector["jwk"] and {**vector["jwk"], "kid": "k1", "use": "sig", "alg": vector["alg"]}
    assert jwk == expected


def test_an_hmac_key_is_never_published() -> None:
    assert jws.public_jwk("k1", "HS256", b"") is None


def test_an_ml_dsa_key_is_published_as_rfc_9964_says() -> None:
    jwk = jws.public_jwk("k1", "ML-DSA-65", key_pair("ML-DSA-65")[1])
    assert jwk is not None
    assert {**jwk, "pub": len(jwk["pub"])} == {
        "kty": "AKP",
        "alg": "ML-DSA-65",
        "kid": "k1",
        "use": "sig",
        "pub": 2603,  # base64url of 1,952 bytes
    }


# Making


def test_the_protected_header_is_deterministic_json() -> None:
    assert jws.protected("Ed25519", "k1") == b'{"alg":"EdDSA","kid":"k1","typ":"activity-entry"}'
    assert jws.protected("ML-DSA-65", 'a"é') == '{"alg":"ML-DSA-65","kid":"a\\"é","typ":"activity-entry"}'.encode()


@given(st.binary(max_size=300), st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_made_is_read(record: bytes, signature: bytes, kid: str) -> None:
    protected = jws.protected("ES256", kid)
    parsed = jws.parse(jws.compact(protected, record, signature))
    assert parsed.header == {"alg": "ES256", "kid": kid, "typ": "activity-entry"}
    assert (parsed.payload, parsed.signature) == (record, signature)
    assert parsed.signing_input == jws.signing_input(protected, record)


@given(st.binary(max_size=100))
def test_base64url_is_that_of_the_standard_library_without_padding(raw: bytes) -> None:
    assert jws.base64url(raw).decode() == encoded(raw)


# Strict reading


def with_header(header: bytes) -> str:
    return f"{encoded(header)}.{encoded(RECORD)}.{encoded(bytes(64))}"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b'"alg"',
        b"null",
        b"{}",
        b'{"alg":"EdDSA"}',
        b'{"kid":"k1"}',
        b'{"alg":null,"kid":"k1"}',
        b'{"alg":["EdDSA"],"kid":"k1"}',
        b'{"alg":"EdDSA","kid":1}',
        b'{"alg":"EdDSA","alg":"HS256","kid":"k1"}',
        b'{"alg":"EdDSA","kid":"k1","x":{"y":1,"y":2}}',
        b'{"alg":"EdDSA","kid":"k1","crit":["b64"],"b64":false}',
        b'{"alg":"EdDSA","kid":"k1","crit":[]}',
        b'{"alg":"EdDSA","kid":"\xff"}',
        b"\xef\xbb\xbf" + PROTECTED,
        b"[" * 100_000,
    ],
)
def test_a_header_that_we_do_not_understand_is_refused(header: bytes) -> None:
    assert jws.parse(with_header(PROTECTED)).header["kid"] == "k1"
    with pytest.raises(BadJwsError):
        jws.parse(with_header(header))


HEADER_PART, RECORD_PART, SIGNATURE_PART = COMPACT.split(".")


@pytest.mark.parametrize(
    "compact",
    [
        "",
        ".",
        "..",
        HEADER_PART,
        f"{HEADER_PART}.{RECORD_PART}",
        f"{COMPACT}.",
        f"{COMPACT}.AAAA",
        f".{COMPACT}",
        f" {COMPACT}",
        f"{COMPACT}\n",
        f"{COMPACT}==",
        f"{HEADER_PART}.{RECORD_PART}=.{SIGNATURE_PART}",
        f"{HEADER_PART}.{RECORD_PART}\n.{SIGNATURE_PART}",
        f"{HEADER_PART}.+/+/.{SIGNATURE_PART}",
        f"{HEADER_PART}.A.{SIGNATURE_PART}",
        f"{HEADER_PART}.AB.{SIGNATURE_PART}",  # stray bits: another spelling of "AA"
        f"{HEADER_PART}.\u0661AAA.{SIGNATURE_PART}",
        f"{HEADER_PART}.\ud800AAA.{SIGNATURE_PART}",
        f"{HEADER_PART}.{'A' * (1 << 20)}.{SIGNATURE_PART}",
    ],
)
def test_what_is_not_a_canonical_compact_jws_is_refused(compact: str) -> None:
    assert jws.parse(COMPACT).payload == RECORD
    with pytest.raises(BadJwsError):
        jws.parse(compact)


@given(st.text())
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    for compact in (text, f"{HEADER_PART}.{text}.{SIGNATURE_PART}", f"{text}.{RECORD_PART}.{SIGNATURE_PART}"):
        try:
            jws.parse(compact)
        except BadJwsError:
            continue


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "HS256"])
def test_a_published_key_comes_back(algorithm: str) -> None:
    _, public = ALGORITHMS[algorithm].generate()
    jwk = jws.public_jwk("key-1", algorithm, public)
    assert jwk is not None
    assert jws.read_jwk(jwk) == (algorithm, public)
    for member in jwk:
        with pytest.raises(SigningError):
            jws.read_jwk({**jwk, member: "AAAA" if member != "kid" else None})
        with pytest.raises(SigningError):
            jws.read_jwk({name: value for name, value in jwk.items() if name != member})
