"""The meta log: every access to the logging system is a record that cannot be suppressed."""
