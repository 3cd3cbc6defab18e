"""What `./auditlog serve` says: whether the port is free before anything starts, and where to go once it answers.

python -m auditlog_project.embedded.announcement --free ADDRESS    exit 1 if somebody listens there
python -m auditlog_project.embedded.announcement ADDRESS           waits for /healthz, then prints
"""

import argparse
import errno
import http.client
import os
import socket
import sys
import time

_WAIT_SECONDS = 60
_PORT = 8000  # gunicorn's own default where an address names none


def main() -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="auditlog_project.embedded.announcement")
    parser.add_argument("--free", action="store_true")
    parser.add_argument("addresses", nargs="+")
    options = parser.parse_args()
    # What is no TCP address is a socket or a file descriptor; there gunicorn speaks for itself.
    places = [place for place in map(host_and_port, options.addresses) if place is not None]
    if options.free:
        return max((_require_free(*place) for place in places), default=0)
    return _announce(*places[0]) if places else 0


def host_and_port(address: str) -> tuple[str, int] | None:
    """Return where gunicorn will listen, or None for what is no TCP address."""
    if address.startswith(("unix:", "fd://")):
        return None
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, ""
    if port and not port.isdecimal():
        return None
    return host.strip("[]") or "0.0.0.0", int(port or _PORT)  # noqa: S104 -- gunicorn's meaning of an empty host


def _require_free(host: str, port: int) -> int:
    try:
        (family, kind, *_, place), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "somebody else listens there already" if taken else f"that address cannot be used ({error.strerror})"
        print(
            f"auditlog: {host}:{port}: {why}. Choose another: ./auditlog serve --bind 127.0.0.1:8001", file=sys.stderr
        )
        return 1
    return 0


def _announce(host: str, port: int) -> int:
    if not _answers(host, port):
        print(f"auditlog: there is no answer from port {port} yet; the lines above may say why", file=sys.stderr)
        return 1
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    lines = [f"auditlog answers at {url}/admin/", "  first administrator   ./auditlog first_admin --url " + url]
    if os.environ.get("SECURE_TRANSPORT", "").lower() in {"off", "false", "no", "0"}:
        lines.append("  without TLS, for this machine alone (SECURE_TRANSPORT=off); see docs/operations.md")
    else:
        lines.append(
            "  browsers are sent to https: a proxy that ends TLS and BEHIND_TLS_PROXY=on; see docs/operations.md"
        )
    lines.append("  stop                  Ctrl-C")
    print("\n".join(lines), flush=True)
    return 0


def _answers(host: str, port: int) -> bool:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- whoever listens everywhere listens here
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(everywhere.get(host, host), port, timeout=5)
        try:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
        else:
            return True
        finally:
            connection.close()
    return False


if __name__ == "__main__":
    sys.exit(main())
