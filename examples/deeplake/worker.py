"""One process of the story: it writes rows to a store, or searches it, with locks or without.

Run by story.py. What came of each row or search is printed as `row ok`, or `row` and the kind of the error.
"""

import argparse
import sys
from contextlib import nullcontext

from stores import KINDS, whole

import zooky
from zooky.deeplake import read_lock, write_lock


def write(kind, path, who, number):
    # Opened under the lock: another worker has written since the last time.
    store = kind.open(path)
    kind.add(store, f"{who}-{number}")
    if number % 10 == 9:
        # Nine of ten writes only append; this one changes what is there.
        kind.replace(store, f"{who}-{number - 5}")


def search(kind, path, who, number):
    store = kind.open(path, read_only=True)
    if not whole(kind.search(store, f"{who}-{number}")):
        raise LookupError("the store has rows, and none was found")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["writer", "reader"])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--store", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--who", required=True)
    parser.add_argument("--hosts", help="ZooKeeper; without it no lock is taken")
    args = parser.parse_args()

    lock, client = nullcontext, None
    if args.hosts is not None:
        client = zooky.Client(hosts=args.hosts)
        client.start()
        take = write_lock if args.role == "writer" else read_lock
        lock = lambda: take(args.store, client=client)  # noqa: E731

    # All start at once: when the story says so.
    print("ready", flush=True)
    sys.stdin.readline()
    step = write if args.role == "writer" else search
    for number in range(args.rows):
        try:
            # One row under each lock, as many small workers do it.
            with lock():
                step(KINDS[args.kind], args.store, args.who, number)
            print("row ok", flush=True)
        except Exception as error:  # Whatever deeplake raises when another writes at the same time.
            print("row", type(error).__name__, flush=True)
    if client is not None:
        client.stop()


if __name__ == "__main__":
    main()
