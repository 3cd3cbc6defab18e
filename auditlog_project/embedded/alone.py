"""Become one of the programs of `./auditlog serve`, in a process group of its own.

    python -m auditlog_project.embedded.alone gunicorn …

Ctrl-C then reaches the launcher alone, which stops each program once. Where the kernel offers it (Linux), the program
is told to stop when the launcher dies without a word, so that nothing is left behind.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process by the module that the command line names."""
    launcher = os.getppid()
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher:
            sys.exit("auditlog: the launcher is gone")
    # A shell makes what it starts in the background deaf to Ctrl-C; theirs is the answer to that signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])  # noqa: S606 -- our own interpreter


if __name__ == "__main__":
    main()
