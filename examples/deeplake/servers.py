"""Where the locks of a story are: on the servers that it is told, on one that it starts itself, or nowhere."""

from contextlib import contextmanager

import zooky


def add_arguments(parser):
    parser.add_argument("--hosts", help="ZooKeeper; by default the embedded server")
    parser.add_argument("--without-locks", action="store_true")


@contextmanager
def chosen(args):
    """The connect string, or None for a story without locks. The server that it starts ends with the body."""
    if args.without_locks:
        yield None
    elif args.hosts is not None:
        yield args.hosts
    else:
        with zooky.Server() as server:
            yield server.hosts
