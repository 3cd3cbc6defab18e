"""Pages about locks and overrides. Views are thin; errors rise to auditlog_project/error_pages.py."""
