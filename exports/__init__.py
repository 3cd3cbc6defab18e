"""Exports: parts of the log as evidence that a stranger verifies without us."""

SOFTWARE = "auditlog 0.1.0"
