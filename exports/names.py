"""Names of the files in a container, besides those of the renderers and of the proof. Pure."""

MANIFEST = "manifest.json"
CLAIM = "claim.json"  # embedded in the report; the manifest has it inside
REPORT = "report.pdf"
CHECKPOINT = "checkpoint"
JWKS = "keys/jwks.json"
VKEYS = "keys/checkpoint.vkeys"
SIGNER = "certificates/signer.pem"
ISSUERS = "certificates/issuers.pem"
VERIFY = "VERIFY.md"
