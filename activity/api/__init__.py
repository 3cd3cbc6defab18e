"""The REST API of entries, version 1. Views are thin; every error rises to auditlog_project/api_errors.py."""
