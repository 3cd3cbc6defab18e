"""All settings of auditlog. What differs between machines comes from the environment; secrets have no default.

    SECRET_KEY                required                     Django's signing of sessions and CSRF tokens
    DATABASE_URL              required                     runtime role auditlog_app
    DATABASE_APPROVER_URL     web process only             role that may execute approvals
    DATABASE_OWNER_URL        set-up commands only         role that owns the tables; a serving process refuses it
    AUDITLOG_MASTER_KEY, or AUDITLOG_MASTER_KEY_FILE       seals the private keys in the database
    the rest                  optional, explained below

DATABASE_ADMIN_URL is read by `setup_database` alone and never enters the settings.
Wrong values are found by the system checks of auditlog_project/checks.py.
"""

import logging
from pathlib import Path
from typing import Any

from celery.schedules import crontab
from csp.constants import NONE, SELF

from auditlog_project.environment_values import celery_url, database, env, required
from auditlog_project.log_format import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = required(
    "SECRET_KEY",
    how="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
)
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "auditlog_project.apps.ProjectConfig",
    "metaaudit",
    "exports",
    "locking",
    "activity",
    "signing",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "csp",
    "auditlog_project.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "auditlog_project.request_logs.RequestLogs",
    # What stands below cannot answer without a record. Nothing else may stand above: posture/recording.py.
    "metaaudit.middleware.RecordAccess",
    "auditlog_project.refusals.RequireLength",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "auditlog_project.error_pages.ErrorPages",
]
ROOT_URLCONF = "auditlog_project.urls"
WSGI_APPLICATION = "auditlog_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "auditlog_project.navigation.navigation",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# One database, three roles. The limits bound what a stuck or hostile session can hold up; verification and ingest
# work in short transactions and stay far below them. A migration may rightly run for long: the owner has no
# statement_timeout.
_WAITING = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
_SERVING = f"{_WAITING} -c statement_timeout=300s"
_CONNECTION = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}  # seconds
DATABASES: dict[str, dict[str, Any]] = {
    "default": _CONNECTION
    | database(
        "DATABASE_URL",
        required(
            "DATABASE_URL",
            how="Give the address of the runtime role: postgresql://auditlog_app:PASSWORD@HOST:5432/auditlog . "
            "`./auditlog` makes an embedded PostgreSQL and sets it; for a server of your own: manage.py setup_database",
        ),
        options=_SERVING,
    ),
}
if _approver_url := env.str("DATABASE_APPROVER_URL", default=""):
    DATABASES["approver"] = _CONNECTION | database("DATABASE_APPROVER_URL", _approver_url, options=_SERVING)
if _owner_url := env.str("DATABASE_OWNER_URL", default=""):
    DATABASES["owner"] = database("DATABASE_OWNER_URL", _owner_url, options=_WAITING)
DATABASE_ROUTERS: list[str] = []

# Broker, results and cache. A password belongs into the URL; nothing logs it.
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

CELERY_BROKER_URL = celery_url(REDIS_URL)
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# JSON only: a pickled message would let whoever reaches the broker run code in the worker.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_RESULT_EXPIRES = 3600  # seconds
CELERY_TASK_TIME_LIMIT = 3600  # seconds
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONSUMER = "auditlog_project.worker_messages:StrictConsumer"
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # whoever reaches the broker could stop every worker with one message
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# Fixed in code: a schedule kept in the database could be switched off by any staff user.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # Every 60 seconds; dropped if no worker took it until the next one comes.
    "anchor ledgers": {"task": "signing.anchor_ledgers", "schedule": 60.0, "options": {"expires": 60}},
    "send notices": {"task": "activity.send_notices", "schedule": 60.0, "options": {"expires": 60}},
    "run lock policies": {"task": "locking.run_policies", "schedule": 60.0, "options": {"expires": 60}},
    "resume exports": {"task": "exports.resume", "schedule": 60.0, "options": {"expires": 60}},
    "expire exports": {"task": "exports.expire", "schedule": 3600.0, "options": {"expires": 3600}},
    "summarise counts": {"task": "metaaudit.summarise", "schedule": 60.0, "options": {"expires": 60}},
    "verify recent": {"task": "activity.verify_recent", "schedule": 300.0, "options": {"expires": 300}},
    "verify whole": {
        "task": "activity.verify_whole",
        "schedule": crontab(hour=env.int("AUDITLOG_NIGHTLY_HOUR", default=2), minute=17),  # UTC
        "options": {"expires": 6 * 3600},
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "start"
PASSWORD_RESET_TIMEOUT = 24 * 3600  # seconds in which a one-time link must be used
REST_FRAMEWORK = {
    # A view that does not say who may use it serves nobody.
    "DEFAULT_PERMISSION_CLASSES": ["activity.api.authentication.Nobody"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "activity.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PARSER_CLASSES": ["activity.api.bodies.StrictJsonParser"],
    "DEFAULT_THROTTLE_CLASSES": ["activity.api.throttling.Throttle"],
    # Requests a second, minute, hour or day: of one API key or user, or of one address without either.
    "DEFAULT_THROTTLE_RATES": {
        "write": env.str("AUDITLOG_RATE_WRITE", default="12000/min"),
        "read": env.str("AUDITLOG_RATE_READ", default="1200/min"),
        "verify": env.str("AUDITLOG_RATE_VERIFY", default="60/min"),
        "public": env.str("AUDITLOG_RATE_PUBLIC", default="1200/min"),
        "refused": env.str("AUDITLOG_RATE_REFUSED", default="20/min"),  # wrong API keys
        "sign-in": env.str("AUDITLOG_RATE_SIGN_IN", default="10/min"),  # wrong passwords, by address and by account
    },
    "EXCEPTION_HANDLER": "auditlog_project.api_errors.handle",
    "DEFAULT_RENDERER_CLASSES": ["activity.api.rendering.JsonRenderer"],
    "URL_FORMAT_OVERRIDE": None,  # ?format= is a parameter of ours
    "DEFAULT_SCHEMA_CLASS": "auditlog_project.openapi.operations.Operation",
}
# The OpenAPI document; auditlog_project/openapi says how a view gets into it.
SPECTACULAR_SETTINGS = {
    "TITLE": "auditlog",
    "VERSION": "1.0.0",  # of the API; docs/api.md says what may change
    "DESCRIPTION": "Activity logs that a stranger can check: record events, read each entry with its verdict, verify "
    "what somebody shows you. Refusals are problem documents (RFC 9457); their `code` is for programs and stays.",
    "TAGS": [
        {"name": "Entries", "description": "Systems with an API key and people with a login record and read."},
        {"name": "Log types", "description": "Which events are signed."},
        {"name": "Exports", "description": "People with a login take parts of the log along, signed with their key."},
        {
            "name": "Locks",
            "description": "People with a login make entries read-only; what ends a lock before its time takes two.",
        },
        {
            "name": "Accesses",
            "description": "Who looked at what: everybody sees his own trace, few see all.",
        },
        {"name": "Evidence", "description": "For anybody, without an account: verify, and fetch what to verify with."},
    ],
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SORT_OPERATION_PARAMETERS": False,
    "POSTPROCESSING_HOOKS": ["auditlog_project.openapi.document.name_components"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # tests/architecture/test_openapi.py is stricter
}

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "auditlog_project.formats"
# WhiteNoise serves them from where the packages have them: nothing to collect, nothing to configure in a proxy.
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

# The way from the browser is TLS, unless DEBUG says that this is somebody's desk. A proxy that ends TLS must set the
# header itself and drop the client's.
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_TRANSPORT", default=not DEBUG)
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]  # load balancers ask without TLS, and learn a word a check
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_SSL_REDIRECT else 0  # one year
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_SSL_REDIRECT
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", default=False) else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 8 * 3600  # seconds
X_FRAME_OPTIONS = "DENY"
# Nothing from elsewhere, nothing inline: a log entry that holds a script is shown, never run.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "auditlog_project.redaction.AddressesHiddenFilter"

# Where the master key is: 32 bytes in base64, in the variable or in a 0600 file. Read at first use by signing.
AUDITLOG_MASTER_KEY = env.str("AUDITLOG_MASTER_KEY", default="")
AUDITLOG_MASTER_KEY_FILE = env.str("AUDITLOG_MASTER_KEY_FILE", default="")
# Name of this installation in every checkpoint; the origin of a ledger is <AUDITLOG_ORIGIN>/<ledger>. Never change it.
AUDITLOG_ORIGIN = env.str("AUDITLOG_ORIGIN", default="auditlog.local")
# Directory outside the database for copies of checkpoints; empty: none are kept, and verify cannot rule out a rollback.
AUDITLOG_ANCHOR_DIR = env.str("AUDITLOG_ANCHOR_DIR", default="")
# File with the pinned checkpoint keys, written at set-up.
AUDITLOG_TRUST_FILE = env.str(
    "AUDITLOG_TRUST_FILE",
    default=str(Path(AUDITLOG_ANCHOR_DIR) / "trust.vkeys") if AUDITLOG_ANCHOR_DIR else "",
)
# Events of a type that no log type matches: "accept" under the default policy, or "refuse".
AUDITLOG_UNKNOWN_TYPES = env.str("AUDITLOG_UNKNOWN_TYPES", default="accept")
# Entries that were tampered with: "flag" serves them with their verdict, "block" only says which they are.
AUDITLOG_ON_TAMPERED = env.str("AUDITLOG_ON_TAMPERED", default="flag")
# Who is told, once, what a verification found: e-mail addresses and webhooks (https), separated by commas.
AUDITLOG_NOTICE_EMAILS = env.list("AUDITLOG_NOTICE_EMAILS", default=[])
AUDITLOG_NOTICE_WEBHOOKS = env.list("AUDITLOG_NOTICE_WEBHOOKS", default=[])
AUDITLOG_WEBHOOK_SECRET = env.str("AUDITLOG_WEBHOOK_SECRET", default="")  # signs what is sent to them
vars().update(env.email_url("EMAIL_URL", default="smtp://localhost:25"))
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("AUDITLOG_NOTICE_FROM", default="auditlog@localhost")
# Exports. Where their files lie; AUDITLOG_EXPORT_STORAGE names another storage of Django, such as a bucket.
AUDITLOG_EXPORT_DIR = env.str("AUDITLOG_EXPORT_DIR", default=str(BASE_DIR / ".auditlog" / "exports"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "exports": {
        "BACKEND": env.str("AUDITLOG_EXPORT_STORAGE", default="django.core.files.storage.FileSystemStorage"),
        "OPTIONS": env.json(
            "AUDITLOG_EXPORT_STORAGE_OPTIONS",
            default={
                "location": AUDITLOG_EXPORT_DIR,
                "base_url": None,  # a file is handed out by the view that looks at rights, never by its address
                "file_permissions_mode": 0o600,
                "directory_permissions_mode": 0o700,
            },
        ),
    },
}
AUDITLOG_EXPORT_DAYS = env.int("AUDITLOG_EXPORT_DAYS", default=30)  # days that a file is kept
AUDITLOG_EXPORT_QUOTA_BYTES = env.int("AUDITLOG_EXPORT_QUOTA_BYTES", default=20 * 1024**3)  # kept for one person
AUDITLOG_EXPORTS_AT_ONCE = env.int("AUDITLOG_EXPORTS_AT_ONCE", default=3)  # under way for one person
AUDITLOG_EXPORT_WORKERS = env.int("AUDITLOG_EXPORT_WORKERS", default=2)  # tasks that make one large export
AUDITLOG_TSA_URL = env.str("AUDITLOG_TSA_URL", default="")
# File with the certificates, in PEM, of time stamp authorities that this server believes when it verifies exports.
AUDITLOG_TSA_CERTIFICATES = env.str("AUDITLOG_TSA_CERTIFICATES", default="")
# Largest upload, to be verified or as a certificate, in bytes; larger exports are verified offline.
AUDITLOG_UPLOAD_MAX_BYTES = env.int("AUDITLOG_UPLOAD_MAX_BYTES", default=40 * 1024**2)
FILE_UPLOAD_HANDLERS = [
    "exports.uploads.BoundedUpload",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
# Where browsers find this server, for links in e-mails and reports; "": they have none.
AUDITLOG_PUBLIC_URL = env.str("AUDITLOG_PUBLIC_URL", default="")
# What apps above activity show beside an entry on its page: functions that take request and entry and return an
# activity.panels.Panel, or None. On its page in the admin nothing can be done, and little is read.
AUDITLOG_ENTRY_PANELS = ["locking.panels.locks_of_entry", "metaaudit.panels.seen_by"]
AUDITLOG_ADMIN_ENTRY_PANELS = ["locking.panels.newest_of_entry"]
# Seconds in which a request must have arrived whole; large ones get more, see slow_clients.py.
AUDITLOG_REQUEST_SECONDS = env.int("AUDITLOG_REQUEST_SECONDS", default=20)
# Largest `data` of one event that is kept beside its record, in bytes.
AUDITLOG_MAX_DETACHED_BYTES = env.int("AUDITLOG_MAX_DETACHED_BYTES", default=1_048_576)

# Days that an access is kept in the database at least; older ones may be archived. Six years: HIPAA 164.316(b)(2)(i).
AUDITLOG_META_RETENTION_DAYS = env.int("AUDITLOG_META_RETENTION_DAYS", default=2192)

# Proxies whose X-Forwarded-For is believed in meta logs: networks, and "unix" for a proxy on a Unix socket.
AUDITLOG_PROXIES = env.list("AUDITLOG_PROXIES", default=[])

# One JSON object a line, readable text under DEBUG: log_format.py says what a line never holds.
LOGGING = logging_config(readable=DEBUG)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # it would believe X-Forwarded-For; request_logs.py binds the peer's
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG  # one line a request: the one that says how it ended
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_FAILURE_LOG_LEVEL = logging.ERROR
