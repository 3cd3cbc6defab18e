"""Exports: parts of the log as evidence that a stranger verifies without us."""
