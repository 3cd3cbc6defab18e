"""The signature algorithms: bytes of keys in, functions that sign and verify out.

    name       JOSE       private bytes  public bytes  signature
    Ed25519    EdDSA      raw, 32        raw, 32       64
    HS256      HS256      secret, 32     none          32; whoever can verify can sign
    PS256      PS256      PKCS#8 DER     SPKI DER      RSA-3072: 384; salt as long as the digest
    RS256      RS256      PKCS#8 DER     SPKI DER      RSA-3072: 384
    ES256      ES256      PKCS#8 DER     SPKI DER      r || s, 64
    ML-DSA-65  ML-DSA-65  PKCS#8 DER     SPKI DER      3309

The caller names the algorithm, from its own row of the key; nothing here reads one out of a message. Bytes that are
not a key of the named algorithm raise BadKeyError. Besides sealing.py the only module that imports `cryptography`.

Sources: RFC 7518, RFC 8032, RFC 8037, FIPS 204, RFC 9964.
"""

import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from signing.errors import BadKeyError

Signer = Callable[[bytes], bytes]
"""message -> raw signature."""

Verifier = Callable[[bytes, bytes], bool]
"""(signature, message) -> whether the signature is good. Never raises for a bad signature, whatever its length."""

RSA_BITS = 3072
_SECRET_SIZE = 32
_P256_SIZE = 32


class Algorithm(ABC):
    """One way to sign. `name` is ours, in key rows; `jose_name` is the `alg` of a JWS header."""

    name: ClassVar[str]
    jose_name: ClassVar[str]
    outsiders_can_verify: ClassVar[bool] = True

    @abstractmethod
    def generate(self) -> tuple[bytes, bytes]:
        """Return a new key pair: private bytes, public bytes (forms: the table above)."""

    @abstractmethod
    def load_private(self, private: bytes) -> Signer:
        """Return the function that signs. It may be kept: loading costs more than signing."""

    @abstractmethod
    def load_public(self, public: bytes) -> Verifier:
        """Return the function that verifies. ValueError for HS256, which has no public half."""

    def load_secret(self, secret: bytes) -> Verifier:  # noqa: ARG002 -- only a symmetric algorithm uses it
        """Return the function that verifies with the signer's own secret: HS256 only, ValueError for the others."""
        raise ValueError(f"{self.name} verifies with its public key")

    @abstractmethod
    def public_numbers(self, public: bytes) -> dict[str, bytes]:
        """Return what a JWK publishes of the public key, member name -> bytes; {} for HS256."""

    @abstractmethod
    def public_of_numbers(self, numbers: Mapping[str, bytes]) -> bytes:
        """Return the public bytes of what a JWK publishes. BadKeyError for what is no key, ValueError for HS256."""

    def _checked(self, make: Callable[[], PublicKeyTypes]) -> bytes:
        """Return the SubjectPublicKeyInfo of a key that numbers make, if it is one of this algorithm."""
        try:
            public = make().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError as error:
            raise BadKeyError(f"not numbers of a public key of {self.name}") from error
        self.load_public(public)
        return public


class _Ed25519(Algorithm):
    name = "Ed25519"
    jose_name = "EdDSA"

    def generate(self) -> tuple[bytes, bytes]:
        key = ed25519.Ed25519PrivateKey.generate()
        return key.private_bytes_raw(), key.public_key().public_bytes_raw()

    def load_private(self, private: bytes) -> Signer:
        try:
            return ed25519.Ed25519PrivateKey.from_private_bytes(private).sign
        except ValueError as error:
            raise BadKeyError("not an Ed25519 private key") from error

    def load_public(self, public: bytes) -> Verifier:
        try:
            key = ed25519.Ed25519PublicKey.from_public_bytes(public)
        except ValueError as error:
            raise BadKeyError("not an Ed25519 public key") from error
        return _answering(key.verify)

    def public_numbers(self, public: bytes) -> dict[str, bytes]:
        self.load_public(public)
        return {"x": public}

    def public_of_numbers(self, numbers: Mapping[str, bytes]) -> bytes:
        self.load_public(numbers["x"])
        return numbers["x"]


class _Hs256(Algorithm):
    name = "HS256"
    jose_name = "HS256"
    outsiders_can_verify = False

    def generate(self) -> tuple[bytes, bytes]:
        return secrets.token_bytes(_SECRET_SIZE), b""

    def load_private(self, private: bytes) -> Signer:
        if len(private) != _SECRET_SIZE:
            raise BadKeyError(f"an HS256 secret has {_SECRET_SIZE} bytes")
        return lambda message: hmac.digest(private, message, "sha256")

    def load_public(self, public: bytes) -> Verifier:  # noqa: ARG002 -- there is none
        raise ValueError("HS256 has no public key: whoever verifies needs the secret (load_secret)")

    def load_secret(self, secret: bytes) -> Verifier:
        sign = self.load_private(secret)
        return lambda signature, message: hmac.compare_digest(sign(message), signature)

    def public_numbers(self, public: bytes) -> dict[str, bytes]:  # noqa: ARG002 -- there is none
        return {}

    def public_of_numbers(self, numbers: Mapping[str, bytes]) -> bytes:  # noqa: ARG002 -- there is none
        raise ValueError("HS256 has no public key")


class _Ps256(Algorithm):
    name = "PS256"
    jose_name = "PS256"
    # Exactly the digest's length, as RFC 7518 3.5 wants it, also when verifying.
    _padding: ClassVar[padding.PSS | padding.PKCS1v15] = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)

    def generate(self) -> tuple[bytes, bytes]:
        return _der_pair(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))

    def load_private(self, private: bytes) -> Signer:
        key = _load_der_private(private)
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < RSA_BITS:
            raise BadKeyError(f"not an RSA private key of at least {RSA_BITS} bits")
        scheme, digest = self._padding, SHA256()
        return lambda message: key.sign(message, scheme, digest)

    def load_public(self, public: bytes) -> Verifier:
        key = self._public_key(public)
        scheme, digest = self._padding, SHA256()
        return _answering(lambda signature, message: key.verify(signature, message, scheme, digest))

    def public_numbers(self, public: bytes) -> dict[str, bytes]:
        numbers = self._public_key(public).public_numbers()
        return {"n": _shortest(numbers.n), "e": _shortest(numbers.e)}

    def public_of_numbers(self, numbers: Mapping[str, bytes]) -> bytes:
        n, e = (int.from_bytes(numbers[name], "big") for name in ("n", "e"))
        return self._checked(lambda: rsa.RSAPublicNumbers(e, n).public_key())

    def _public_key(self, public: bytes) -> rsa.RSAPublicKey:
        key = _load_der_public(public)
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS:
            raise BadKeyError(f"not an RSA public key of at least {RSA_BITS} bits")
        return key


class _Rs256(_Ps256):
    name = "RS256"
    jose_name = "RS256"
    _padding = padding.PKCS1v15()


class _Es256(Algorithm):
    name = "ES256"
    jose_name = "ES256"

    def generate(self) -> tuple[bytes, bytes]:
        return _der_pair(ec.generate_private_key(ec.SECP256R1()))

    def load_private(self, private: bytes) -> Signer:
        key = _load_der_private(private)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadKeyError("not a P-256 private key")
        scheme = ec.ECDSA(SHA256())

        def sign(message: bytes) -> bytes:
            r, s = decode_dss_signature(key.sign(message, scheme))
            return r.to_bytes(_P256_SIZE, "big") + s.to_bytes(_P256_SIZE, "big")

        return sign

    def load_public(self, public: bytes) -> Verifier:
        key = self._public_key(public)
        scheme = ec.ECDSA(SHA256())

        def verify(signature: bytes, message: bytes) -> None:
            if len(signature) != 2 * _P256_SIZE:
                raise InvalidSignature
            r, s = int.from_bytes(signature[:_P256_SIZE], "big"), int.from_bytes(signature[_P256_SIZE:], "big")
            key.verify(encode_dss_signature(r, s), message, scheme)

        return _answering(verify)

    def public_numbers(self, public: bytes) -> dict[str, bytes]:
        numbers = self._public_key(public).public_numbers()
        return {"x": numbers.x.to_bytes(_P256_SIZE, "big"), "y": numbers.y.to_bytes(_P256_SIZE, "big")}

    def public_of_numbers(self, numbers: Mapping[str, bytes]) -> bytes:
        x, y = (int.from_bytes(numbers[name], "big") for name in ("x", "y"))
        return self._checked(lambda: ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())

    def _public_key(self, public: bytes) -> ec.EllipticCurvePublicKey:
        key = _load_der_public(public)
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadKeyError("not a P-256 public key")
        return key


class _MlDsa65(Algorithm):
    name = "ML-DSA-65"
    jose_name = "ML-DSA-65"

    def generate(self) -> tuple[bytes, bytes]:
        return _der_pair(mldsa.MLDSA65PrivateKey.generate())

    def load_private(self, private: bytes) -> Signer:
        key = _load_der_private(private)
        if not isinstance(key, mldsa.MLDSA65PrivateKey):
            raise BadKeyError("not an ML-DSA-65 private key")
        return key.sign

    def load_public(self, public: bytes) -> Verifier:
        return _answering(self._public_key(public).verify)

    def public_numbers(self, public: bytes) -> dict[str, bytes]:
        return {"pub": self._public_key(public).public_bytes_raw()}

    def public_of_numbers(self, numbers: Mapping[str, bytes]) -> bytes:
        return self._checked(lambda: mldsa.MLDSA65PublicKey.from_public_bytes(numbers["pub"]))

    def _public_key(self, public: bytes) -> mldsa.MLDSA65PublicKey:
        key = _load_der_public(public)
        if not isinstance(key, mldsa.MLDSA65PublicKey):
            raise BadKeyError("not an ML-DSA-65 public key")
        return key


ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm for algorithm in (_Ed25519(), _Hs256(), _Ps256(), _Rs256(), _Es256(), _MlDsa65())
}


def _answering(verify: Callable[[bytes, bytes], None]) -> Verifier:
    """Turn `cryptography`'s raise-or-return into an answer."""

    def answer(signature: bytes, message: bytes) -> bool:
        try:
            verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return answer


def _der_pair(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _load_der_private(private: bytes) -> PrivateKeyTypes:
    try:
        return load_der_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: encrypted with a password
        raise BadKeyError("not a PKCS#8 private key") from error


def _load_der_public(public: bytes) -> PublicKeyTypes:
    try:
        return load_der_public_key(public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKeyError("not a SubjectPublicKeyInfo public key") from error


def _shortest(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
