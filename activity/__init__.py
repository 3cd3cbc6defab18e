"""Activity: log types, entries, ingest, and verification of what was recorded."""
