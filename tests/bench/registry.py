"""Every measurement of the bench, in the order in which they are run and told."""

from tests.bench import (
    accesses,
    batches,
    export_requests,
    exporting,
    ledgers,
    lists,
    locks,
    pages,
    processes,
    reports,
    requests,
    singles,
    verifications,
)

MEASUREMENTS = (
    batches.MEASUREMENT,
    singles.MEASUREMENT,
    verifications.MEASUREMENT,
    ledgers.MEASUREMENT,
    pages.MEASUREMENT,
    requests.MEASUREMENT,
    processes.CONTENTION,
    processes.MEMORY,
    accesses.MEASUREMENT,
    lists.MEASUREMENT,
    exporting.MEASUREMENT,
    export_requests.MEASUREMENT,
    reports.MEASUREMENT,
    locks.LOCKING,
    locks.AMENDING,
)
