"""Floor 1: keys, signatures, ledgers and checkpoints.

Signs and hashes bytes and knows no model above it. The pure modules (merkle, checkpoint, tlog_proof, jws,
algorithms, sealing, tiles) take bytes and values and give bytes and values; `cryptography` is imported in
algorithms.py and sealing.py alone.
"""
