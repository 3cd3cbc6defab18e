"""The verification tool: says of an export what is right, what is wrong and what cannot be told. Offline, no Django.

    python -m exports.verifier [--json] [--trust FILE|FINGERPRINT]… FILE…
    exit 0 all is right and every key that signed is pinned, 1 something was changed, 2 something cannot be told

Believes nothing but what the user pins. What it needs besides the standard library are `cryptography` and `asn1crypto`,
and `pyhanko` for a PDF. report.py has the words, pins.py what is trusted, packed.py, contents.py and pdf.py the checks.
"""
