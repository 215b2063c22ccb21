"""The ``zooky`` command: ``python -m zooky``, and the console script of the same name.

It is the same program as the one that Cargo builds; ``zooky --help`` says what it does.
"""

import sys

from ._command import main

if __name__ == "__main__":
    sys.exit(main())
