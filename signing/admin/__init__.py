"""Keys and ledgers in Django's admin, and what every page of ours in the admin is made of (pages.py, steps.py).

One file for each model. Pages only read and ask: what changes anything goes through services.py, with a reason and a
name. Checkpoints and windows have no pages of their own, for they have no single-column key: they stand with their
ledger and their key.
"""

from signing.admin import key_events, keys, ledgers

__all__ = ["key_events", "keys", "ledgers"]
