"""What the bench measures against: plain tables of the same columns, and a model under django-auditlog."""
