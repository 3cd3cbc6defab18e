"""Embedded servers: a real PostgreSQL and a Valkey for a machine that has none.

They stand in only for what the environment does not name: DATABASE_URL replaces the one, REDIS_URL the other.
Imports neither Django nor the rest of the project, because the launcher asks it for the environment Django starts in.

    <state>/                  AUDITLOG_STATE_DIR, see environment.py; root lets others pass through it, not list it
        lock                  held while servers start or stop
        secrets/              0700; passwords, master key: 0600
        anchors/              0700; copies of checkpoints (AUDITLOG_ANCHOR_DIR)
        programs/             copies of the servers' programs, where their users cannot reach the virtual environment
        postgres/             config/ (ours), data/ log/ run/ (the server's)
        valkey/               config/ (ours), data/ (the server's)
"""
