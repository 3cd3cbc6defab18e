"""Whether the measured events must be signed: their log types, set as an administrator would."""

from activity.services import set_log_type

_PATTERNS = ("windows.*", "windows.sysmon.*", "aws.*")


def require_signatures(*, required: bool) -> None:
    """Have every event of the bench signed with Ed25519, or none."""
    for pattern in _PATTERNS:
        set_log_type(
            pattern=pattern,
            requires_signature=required,
            algorithm="Ed25519",
            description="measured",
            by="bench",
            reason="bench",
        )
