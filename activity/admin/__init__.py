"""Entries, their verification, log types and rights in Django's admin. One file for each page's model.

Pages only read and ask: what changes anything goes through services.py or authority.py, with a reason and a name.
"""

from activity.admin import api_keys, entries, findings, grants, log_types, notices, runs

__all__ = ["api_keys", "entries", "findings", "grants", "log_types", "notices", "runs"]
