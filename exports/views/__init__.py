"""Pages about exports and verification. Views are thin; errors rise to auditlog_project/error_pages.py."""
