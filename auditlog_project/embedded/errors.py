"""What can go wrong with an embedded server. Every message ends with what the reader can do."""


class EmbeddedError(Exception):
    """Base of the family."""


class UnsupportedPlatformError(EmbeddedError):
    """No server program is available for this machine."""


class UnreachableStateError(EmbeddedError):
    """The server's user cannot enter a directory above its data."""


class ServerStartError(EmbeddedError):
    """The server did not start or did not answer in time."""


class ServerStopError(EmbeddedError):
    """The server did not stop in time."""
