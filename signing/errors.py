"""What can go wrong with keys, signatures and ledgers: one family, `SigningError`, without HTTP in it.

Bad data (a broken proof, a forged note, a damaged seal) raises one of these. A caller's mistake is a TypeError or
a ValueError instead, so that catching the family never hides a bug of our own.
"""


class SigningError(Exception):
    """Anything that a key, a signature or a ledger can refuse."""


class NoActiveKeyError(SigningError):
    """No active key serves the purpose and algorithm that were asked for."""


class KeyNotFoundError(SigningError):
    """No key has this id."""


class KeyStateError(SigningError):
    """The key's state or window does not permit this step."""


class BadKeyError(SigningError):
    """These bytes are not a key of the algorithm they are stored under."""


class MasterKeyError(SigningError):
    """The master key is missing, malformed or not the one that sealed."""


class SealError(SigningError):
    """Sealed bytes do not open: other master key, other row, or changed."""


class BadProofError(SigningError):
    """A Merkle proof does not tie these hashes together, or is malformed."""


class BadCheckpointError(SigningError):
    """A checkpoint is malformed or not signed by a key that was asked for."""


class DistrustedCheckpointError(BadCheckpointError):
    """A checkpoint is signed, but by compromised keys alone, beyond the size up to which they are trusted."""


class BadJwsError(SigningError):
    """A compact JWS is malformed, or its header is not one we accept."""


class BadTileError(SigningError):
    """A tile path or an entry bundle is not as C2SP tlog-tiles wants it."""


class LedgerNotFoundError(SigningError):
    """No ledger has this name."""


class LedgerRefusedError(SigningError):
    """The database refused a ledger call (SQLSTATE AL004)."""


class AnchorConflictError(SigningError):
    """An anchor outside the database contradicts the checkpoint inside it."""

    def __init__(self, message: str, *, anchored_size: int) -> None:
        """`anchored_size` is the tree size of the newest anchor, for callers that only came late."""
        super().__init__(message)
        self.anchored_size = anchored_size


class ImmutableRowError(SigningError):
    """A row of an append-only table is not changed or removed."""

    def __init__(self, model: type) -> None:
        super().__init__(f"{model.__name__}: rows are written once and stay as they are")


class BadCertificateError(SigningError):
    """A certificate, its chain or a PKCS#12 file is not one that an export may be signed with."""


class BadCmsError(SigningError):
    """A CMS signature is malformed, not in the one form that we write, or does not fit what it signs."""


class BadTimeStampError(SigningError):
    """A time stamp is malformed, of something else, or its authority refused or did not answer."""


class ExportKeyError(SigningError):
    """Somebody has no export key that could sign now: none, expired, or revoked; the text says which."""
