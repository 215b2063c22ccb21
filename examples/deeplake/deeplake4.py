"""Deep Lake 4: several processes append rows to one dataset and count them in it.

    python deeplake4.py                     # counting under a write lock, on the embedded server
    python deeplake4.py --hosts zk1:2181    # on a ZooKeeper of yours
    python deeplake4.py --without-locks     # two processes count at once: made to happen, and a count is lost

Needs deeplake 4: pip install zooky 'deeplake==4.7.4'. Its appends go beside each other: what others have appended is
merged. But who changes what was read before loses what others have changed since, and now and then a change is lost
because somebody appended at the same time. So appends hold the read lock together, and a change holds the write lock
alone. It exits with 1 if, with locks, a count is lost.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import deeplake
import servers

import zooky
from zooky.deeplake import read_lock, write_lock


def create(path):
    dataset = deeplake.create(path)
    dataset.add_column("text", "text")
    dataset.add_column("count", "int64")
    dataset.append({"text": ["first"], "count": [0]})
    dataset.commit()


def append(path, text):
    dataset = deeplake.open(path)
    dataset.append({"text": [text], "count": [0]})
    dataset.commit()


def count(path, between=lambda: None):
    """Reads the number in the first row, and writes it back larger by one."""
    dataset = deeplake.open(path)
    number = int(dataset["count"][0])
    between()
    dataset["count"][0] = number + 1
    dataset.commit()


def contents(path):
    dataset = deeplake.open_read_only(path)
    return {"count": int(dataset["count"][0]), "rows": sorted(str(text) for text in dataset["text"][:])}


def work(path, who, rows, hosts):
    """A process that appends beside others, and counts alone."""
    with zooky.Client(hosts=hosts) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(rows):
            with read_lock(path, client=client):
                append(path, f"{who}-{number}")
            with write_lock(path, client=client):
                count(path)


def count_slowly(path):
    """A process that is stopped in the middle of counting."""

    def pause():
        print("ready", flush=True)
        sys.stdin.readline()

    count(path, pause)


def start(path, *arguments):
    command = [sys.executable, __file__, "--store", path, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(processes):
    """Lets all go at once, when all are ready."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def tell(hosts, workers=4, rows=50):
    """What came of it; `counted` of `wanted`."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "dataset")
        create(path)
        if hosts is None:
            run([start(path, "--count-slowly"), start(path, "--count-slowly")])
            return {"locks": False, "counted": contents(path)["count"], "wanted": 2}
        run([start(path, "--work", f"worker{n}", "--rows", str(rows), "--hosts", hosts) for n in range(workers)])
        found, wanted = contents(path), workers * rows
        rows_found = len(set(found["rows"]) - {"first"})
        return {"locks": True, "counted": found["count"], "appended": rows_found, "wanted": wanted}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    servers.add_arguments(parser)
    parser.add_argument("--rows", type=int, default=50, help="by each worker")
    parser.add_argument("--store", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--count-slowly", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work is not None:
        return work(args.store, args.work, args.rows, args.hosts)
    if args.count_slowly:
        return count_slowly(args.store)
    with servers.chosen(args) as hosts:
        told = tell(hosts, rows=args.rows)
    print(json.dumps(told))
    return 0 if args.without_locks or told["counted"] == told["wanted"] else 1


if __name__ == "__main__":
    sys.exit(main())
