"""One thing that is wrong with the posture, and how to put it right."""

from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

SET_UP_AGAIN = "Run `manage.py setup_database` with the owner's address; find out who changed it."


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with a stable id, a sentence that names the thing, and a remedy."""

    id: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.id}: {self.message} ({self.hint})"
