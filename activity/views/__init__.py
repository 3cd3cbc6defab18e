"""Pages about entries. Views are thin; errors rise to auditlog_project/error_pages.py."""
