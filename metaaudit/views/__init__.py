"""Pages about accesses. Views are thin; errors rise to auditlog_project/api_errors.py."""
