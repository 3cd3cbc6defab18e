"""What can go wrong with the meta log. No HTTP in here."""


class MetaauditError(Exception):
    """Base of every error of this app."""


class NotRecordedError(MetaauditError):
    """An access could not be recorded, so it is not granted."""


class AddressTooLongError(MetaauditError):
    """An address is longer than an access can be recorded with."""


class AccessArchivedError(MetaauditError):
    """An access is so old that its row is archived; the message says in which export."""


class ArchiveRefusedError(MetaauditError):
    """Accesses are not archived: the export, the ledger or their age does not allow it."""


class UnknownActionError(MetaauditError):
    """A name that is not in the closed vocabulary of actions."""
