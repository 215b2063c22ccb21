"""What breaks without locks, made to happen: two processes in an order that breaks a store, one step at a time.

    python interleaved.py                       # without locks: each order is kept, and something breaks
    python interleaved.py --hosts zk1:2181      # with locks: the orders are not to be had, and nothing breaks
    python interleaved.py --kind langchain      # or dataset; by default the vector store

Two writers: both open the store, then both add a row. A reader and a writer: the reader has read one tensor when the
writer replaces a row, then it reads the other. Where nobody locks, chance decides how often this comes; here it comes
each time.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext

from story import readable

import zooky
from zooky.deeplake import lock_path, read_lock, write_lock

#: What is there before it begins.
ROWS = ["row0", "row1", "row2", "row3"]
#: What a process tells last, when it has given up the lock.
LEFT = "has left"


def steps(role, kind, path):
    """What a process does, step by step; each step's result is told."""
    from stores import whole

    if role == "reader":
        store = kind.open(path, read_only=True)
        columns = kind.columns(store)
        first = next(columns)
        yield "has read one tensor"
        yield whole([first, next(columns)])
        return
    store = kind.open(path)
    if role == "first":
        for row in ROWS:
            kind.add(store, row)
    elif role == "replacer":
        kind.replace(store, ROWS[0])
    else:
        yield "has opened it"
        kind.add(store, role)
    yield "has written"


def act(role, kind, path, hosts):
    """A process of the story: it does a step for each line that it is told, all of them under one lock."""
    from stores import KINDS

    lock = nullcontext()
    if hosts is not None:
        client = zooky.Client(hosts=hosts)
        client.start()
        lock = (read_lock if role == "reader" else write_lock)(path, client=client)
    print("told ready", flush=True)
    sys.stdin.readline()
    try:
        with lock:
            for told in steps(role, KINDS[kind], path):
                print("told", json.dumps(told), flush=True)
                sys.stdin.readline()
        print("told", json.dumps(LEFT), flush=True)
    except Exception as error:  # Whatever deeplake raises.
        print("told", json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
    if hosts is not None:
        client.stop()


class Actor:
    """Such a process, seen from the story."""

    def __init__(self, role, kind, path, hosts):
        command = [sys.executable, __file__, "--act", role, "--kind", kind, "--store", path]
        command += [] if hosts is None else ["--hosts", hosts]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.ended = False

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self):
        """What it tells next; deeplake prints lines of its own."""
        told = next(line for line in self.process.stdout if line.startswith("told "))[5:].strip()
        if told == "ready":
            return told
        told = json.loads(told)
        self.ended = told == LEFT or "error" in told
        return told

    def step(self):
        self.begin()
        return self.result()

    def rest(self):
        """All that it tells until it ends."""
        while not self.ended:
            yield self.step()


def interleave(one, two, until_queued):
    """Has the second begin in the middle of the first, and both come to their ends. What each told, in order."""
    assert [one.result(), two.result()] == ["ready", "ready"]
    told = [("one", one.step())]
    two.begin()
    if until_queued is not None:
        # The second waits for the lock; the first goes on alone.
        until_queued()
        told += [("one", result) for result in one.rest()]
    told.append(("two", two.result()))
    if until_queued is None:
        # Both are in the middle now.
        told.append(("one", one.step()))
    return told + [("two", result) for result in two.rest()] + [("one", result) for result in one.rest()]


def tell(kind, hosts):
    """Tells both stories and returns what came of them."""
    told = {"locks": hosts is not None}
    with tempfile.TemporaryDirectory() as directory:
        for story, roles in {"two writers": ["A", "B"], "reader and writer": ["reader", "replacer"]}.items():
            path = os.path.join(directory, story.replace(" ", "-"))
            first = Actor("first", kind, path, hosts)
            assert first.result() == "ready" and list(first.rest()) == ["has written", LEFT]
            one, two = (Actor(role, kind, path, hosts) for role in roles)
            until_queued = None if hosts is None else functools.partial(until_two_queue, path, hosts)
            told[story] = interleave(one, two, until_queued)
            for actor in (first, one, two):
                actor.process.communicate()
            told[f"rows after {story}"] = sorted(readable(kind, path))
    return told


def until_two_queue(path, hosts):
    """Waits until one has the dataset's lock and another waits for it."""
    with zooky.Client(hosts=hosts) as client:
        lock = client.WriteLock(lock_path(path))
        end = time.monotonic() + 60
        while len(lock.contenders()) < 2:
            assert time.monotonic() < end, "nobody came to wait for the lock"
            time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["vectors", "dataset", "langchain"], default="vectors")
    parser.add_argument("--hosts", help="ZooKeeper; without it no lock is taken")
    parser.add_argument("--act", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.act is not None:
        return act(args.act, args.kind, args.store, args.hosts)
    print(json.dumps(tell(args.kind, args.hosts), indent=2))


if __name__ == "__main__":
    sys.exit(main())
