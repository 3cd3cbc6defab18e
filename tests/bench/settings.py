"""Settings of the bench's own processes: those of the product, with django-auditlog and the peers added."""

from auditlog_project.database.declared import TABLE_GRANTS, TableGrant
from auditlog_project.settings import *  # noqa: F403 a settings module is its names
from auditlog_project.settings import INSTALLED_APPS as _PRODUCT
from metaaudit.rules import COUNTED

INSTALLED_APPS = [*_PRODUCT, "auditlog", "tests.bench.peers"]
ROOT_URLCONF = "tests.bench.peers.views"
# The server refuses to start where the runtime role may touch a table that is not declared.
PEER_TABLES = ("peers_plainentry", "peers_bareentry", "peers_auditedevent", "auditlog_logentry")
TABLE_GRANTS.update({name: TableGrant(("SELECT", "INSERT")) for name in PEER_TABLES})
# As the product's own ingest: the plain view is what it is compared with, and no access to the log either.
COUNTED["POST", "bench/plain"] = "ingest"
