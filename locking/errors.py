"""What can go wrong with locks, overrides and policies. No HTTP in here."""


class LockingError(Exception):
    """Base of every error of this app."""


class LockRefusedError(LockingError):
    """A lock, release, override or policy cannot be as it was asked for; the sentence says why."""


class BadLockError(LockRefusedError):
    """What somebody asks for lacks something or says what cannot be, whatever locks there are."""


class LockNotFoundError(LockingError):
    """There is no such lock, override or policy."""
