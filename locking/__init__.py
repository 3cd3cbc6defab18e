"""Locks that PostgreSQL enforces: manual, automatic, and the two-person override."""
