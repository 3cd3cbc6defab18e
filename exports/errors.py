"""What can go wrong with exports: one family, `ExportError`, without HTTP in it.

Bad data (a forged container, a broken proof) raises one of these; a caller's mistake is a TypeError or a ValueError.
"""


class ExportError(Exception):
    """Anything that an export can refuse."""


class BadManifestError(ExportError):
    """A claim or manifest is not in the one form that we write."""


class BadRowError(ExportError):
    """A row of exported data is not in the one form that we write, or does not lead back to a record."""


class BadMultiproofError(ExportError):
    """A multi-proof is malformed, or does not lead to the root of its checkpoint."""


class BadContainerError(ExportError):
    """A container is not laid out as ASiC-E and our writer want it."""


class ReportError(ExportError):
    """The PDF report cannot be made, or was not made as it had to be."""


class NoFontsError(ReportError):
    """The fonts of the PDF report are not installed."""


class ReportTooLargeError(ReportError):
    """More entries than one PDF report may hold."""


class BadOrderError(ExportError):
    """An order lacks something, or says what cannot be."""


class ExportRefusedError(ExportError):
    """An export cannot be ordered, stopped or taken as things stand."""


class QuotaError(ExportError):
    """Somebody has as many exports as he may have."""


class BadReportError(ExportError):
    """A PDF is not a report as our renderer writes it."""
