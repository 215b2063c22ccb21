"""Hands the process over to the command in the extension module.

The helper processes of ``run``, ``demo`` and the embedded server are started with this file as their script: nothing of
the package is imported for them but the extension module, since importing the rest takes longer than some of them live.
"""

import os
import signal
import sys

#: mypy takes it for true.
TYPE_CHECKING = False

if TYPE_CHECKING or __package__:
    from . import _zooky
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import _zooky


def main() -> int:
    """Runs this process's command line from beginning to end, signals included; the exit code is the answer."""
    # Those that Python has changed for itself are as they were for everybody else; what was ignored when it
    # started (nohup) stays so. SIGPIPE is ignored in either.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    # -I: nothing of the environment and the working directory concerns a helper; -S: it needs no other package.
    again = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
    return _zooky.command(again, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
