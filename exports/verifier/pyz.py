"""`./auditlog verifier`: the verification tool as one file, auditlog-verify.pyz, that Python runs as it is.

It holds the modules that the tool really imports, ours alone; `cryptography` and `asn1crypto` (and `pyhanko` for a PDF)
are installed where it runs. The same code gives the same bytes. Beside it the page for browsers is written (page.py).
"""

from __future__ import annotations

import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from exports.verifier import page

OURS = ("exports", "signing")
_ROOT = Path(__file__).resolve().parents[2]
_BUILDERS = (".pyz", ".page")  # make the tool, and are not in it
# What is missing is no finding: 1 would say that something was changed.
_MAIN = b"""import sys

if sys.version_info < (3, 11):
    sys.stderr.write("auditlog-verify needs Python 3.11\\n")
    sys.exit(2)
try:
    from exports.verifier.__main__ import main
except ModuleNotFoundError as missing:
    name = missing.name.partition(".")[0]
    sys.stderr.write(f"auditlog-verify needs the package {name}: pip install cryptography asn1crypto pyhanko\\n")
    sys.exit(2)
sys.exit(main())
"""


def build(target: Path) -> list[str]:
    """Write the tool and return the names of the modules in it."""
    for name in ("exports.verifier.__main__", "exports.verifier.pdf"):
        import_module(name)
    paths = {
        Path(module.__file__)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in OURS and module.__file__ and not name.endswith(_BUILDERS)
    }
    names = sorted(str(path.relative_to(_ROOT)) for path in paths)
    with target.open("wb") as out:
        out.write(b"#!/usr/bin/env python3\n")
        with ZipFile(out, "w") as archive:
            for name in names:
                archive.writestr(ZipInfo(name), (_ROOT / name).read_bytes())
            archive.writestr(ZipInfo("__main__.py"), _MAIN)
    return names


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "auditlog-verify.pyz")
    build(target)
    beside = target.with_name(page.FILE_NAME)
    beside.write_bytes(page.page())
    for path in (target, beside):
        sys.stdout.write(f"{sha256(path.read_bytes()).hexdigest()}  {path}\n")
