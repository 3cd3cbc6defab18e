"""auditlog-verify.html: the verification page as one file, which a browser opens without a network. Pure.

    exports/verifier_page/page.html   the page, with places for script and style
    exports/verifier_page/*.js        the script, in the order of the names; all of it is one scope
    exports/verifier_page/style.css   the style

Its Content-Security-Policy allows this script and this style by their hashes and nothing else, so that no content of
an export could ever load or send anything. The same parts give the same bytes.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

FILE_NAME = "auditlog-verify.html"
_PARTS = Path(__file__).resolve().parents[1] / "verifier_page"


@cache
def page() -> bytes:
    """Return the page."""
    script = '"use strict";\n' + "\n".join(path.read_text() for path in sorted(_PARTS.glob("*.js")))
    style = (_PARTS / "style.css").read_text()
    whole = (_PARTS / "page.html").read_text()
    for place, text in (
        ("@SCRIPT_HASH@", _hash(script)),
        ("@STYLE_HASH@", _hash(style)),
        ("@STYLE@", style),
        ("@SCRIPT@", script),
    ):
        whole = whole.replace(place, text, 1)
    return whole.encode()


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
