"""Locks, overrides and lock policies in Django's admin. One file for each model.

Locks and overrides are looked at here; the steps of their lives have pages of their own (locking/views), for people
who are no staff take them, too. Policies are set here and nowhere else.
"""

from locking.admin import locks, overrides, policies

__all__ = ["locks", "overrides", "policies"]
