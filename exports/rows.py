"""One entry as an export holds it. Pure; every renderer and the proofs take these."""

from typing import NamedTuple


class ExportedEntry(NamedTuple):
    """An entry at the ledger size of the export, with what was found when it was checked for it.

    `record` is exactly what was hashed and signed. `signature` is raw, of the key `key_id`; both None if unsigned.
    """

    leaf_index: int
    record: bytes
    detached_data: bytes | None
    key_id: str | None
    signature: bytes | None
    verdict: str  # signing.verdicts.Verdict
    reason: str  # empty if the verdict is valid or unsigned
