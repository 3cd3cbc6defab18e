"""Every measurement of the bench, in the order in which they are run and told."""

from tests.bench import batches, ledgers, processes, singles, verifications

MEASUREMENTS = (
    batches.MEASUREMENT,
    singles.MEASUREMENT,
    verifications.MEASUREMENT,
    ledgers.MEASUREMENT,
    processes.CONTENTION,
    processes.MEMORY,
)
