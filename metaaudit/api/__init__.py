"""The REST API of meta logs, version 1. Views are thin; every error rises to auditlog_project/api_errors.py."""
