"""Reading the environment for settings.py: one refusal per mistake, and never a secret in its text.

    required("SECRET_KEY", how="python3 -c …")   -> the value, or ImproperlyConfigured naming variable and remedy
    database("DATABASE_URL", "postgresql://role:password@host:5432/name", options="-c …")
                                                 -> one entry of Django's DATABASES
    celery_url("unix:///run/valkey.sock?db=0")   -> the same server in Celery's spelling

URLs are parsed by libpq itself, so that a URL means here what it means to psql (sockets, sslmode, several hosts).
"""

from typing import Any

import environ
import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

env = environ.Env()

_DJANGO_NAMES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}

# A server that does not answer is an error soon: 5 seconds to connect, 10 (in ms) until what was sent arrives.
_PATIENCE = {"connect_timeout": "5", "tcp_user_timeout": "10000"}

# Without a threshold Django has psycopg prepare nothing, whatever a statement asks for (signing/statements.py); this is
# psycopg's own. Statements of the ORM hold their values in their text and are not prepared with it either.
_PREPARES = {"prepare_threshold": 5}


def required(name: str, *, how: str) -> str:
    """Return the variable's value; raise ImproperlyConfigured with the remedy `how` if it is missing or empty."""
    value: str = env.str(name, default="")
    if not value:
        message = f"The environment variable {name} is not set. {how}"
        raise ImproperlyConfigured(message)
    return value


def database(name: str, url: str, *, options: str) -> dict[str, Any]:
    """Return the DATABASES entry for the libpq URL held by variable `name`; `options` go to the server at connect.

    Raises ImproperlyConfigured without quoting the URL: it holds a password.
    """
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        given = {}
    if "dbname" not in given or "user" not in given:
        message = (
            f"{name} is not a PostgreSQL address. Expected postgresql://ROLE:PASSWORD@HOST:5432/DATABASE, "
            "with special characters in the password percent-encoded."
        )
        # The parser's own message would quote parts of the address.
        raise ImproperlyConfigured(message) from None
    entry: dict[str, Any] = {django: given.pop(libpq, "") for libpq, django in _DJANGO_NAMES.items()}
    return entry | {
        "ENGINE": "django.db.backends.postgresql",
        "OPTIONS": _PREPARES | _PATIENCE | given | {"options": f"{options} {given.get('options', '')}".strip()},
    }


def celery_url(url: str) -> str:
    """Return the Redis URL as Celery spells it: redis-py says unix://, Celery redis+socket://."""
    if not url.startswith("unix://"):
        return url
    address, _, query = url.removeprefix("unix://").partition("?")
    return f"redis+socket://{address}" + (f"?{query.replace('db=', 'virtual_host=')}" if query else "")
