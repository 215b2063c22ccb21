"""Deep Lake 3.9, several writers, some readers: what breaks without locks, and what does not with them.

    python story.py                     # with locks, on the embedded server
    python story.py --without-locks     # to see what breaks
    python story.py --kind langchain    # or dataset; by default the vector store
    python story.py --hosts zk1:2181    # on a ZooKeeper of yours

Needs deeplake 3.9: pip install zooky 'deeplake==3.9.52' 'numpy<2' (for LangChain also 'langchain-community==0.3.31'
'langchain<1'). It exits with 1 if, with locks, a row is missing or a search failed.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import servers

HERE = Path(__file__).parent


def start(role, kind, who, store, rows, hosts):
    command = [sys.executable, str(HERE / "worker.py"), role, kind]
    command += ["--store", store, "--rows", str(rows), "--who", who]
    if hosts is not None:
        command += ["--hosts", hosts]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, **pipes)


def outcomes(processes):
    """What the workers say of each row, counted; deeplake prints lines of its own."""
    lines = (line for process in processes for line in process.stdout)
    return collections.Counter(line[4:].strip() for line in lines if line.startswith("row "))


READ = """
import json, sys
from stores import KINDS, whole

kind = KINDS[sys.argv[1]]
store = kind.open(sys.argv[2], read_only=True)
rows = whole(kind.columns(store))
whole(kind.search(store, rows[0]))
print("rows", json.dumps(rows))
"""


def readable(kind, store):
    """The rows of the store, as a process reads and searches them that has seen none of it; none if it cannot."""
    command = [sys.executable, "-c", READ, kind, store]
    read = subprocess.run(command, cwd=HERE, text=True, capture_output=True)
    rows = [line[5:] for line in read.stdout.splitlines() if line.startswith("rows ")]
    return json.loads(rows[0]) if rows else []


def tell(kind, hosts, writers=4, readers=2, rows=50):
    """Lets so many writers write so many rows each, while readers search as often; returns what came of it."""
    with tempfile.TemporaryDirectory() as directory:
        store = os.path.join(directory, "store")
        # The store is there before the readers look for it.
        first = start("writer", kind, "first", store, 1, hosts)
        outcomes_of_first = first.communicate("go\n")[0]
        assert "row ok" in outcomes_of_first, outcomes_of_first

        writing = [start("writer", kind, f"writer{n}", store, rows, hosts) for n in range(writers)]
        reading = [start("reader", kind, f"reader{n}", store, rows, hosts) for n in range(readers)]
        for process in writing + reading:
            assert process.stdout.readline() == "ready\n"
        for process in writing + reading:
            process.stdin.write("go\n")
            process.stdin.close()
        written, searched = outcomes(writing), outcomes(reading)
        for process in writing + reading:
            process.wait()
        found = [row for row in readable(kind, store) if row != "first-0"]
        return {
            "locks": hosts is not None,
            "rows": writers * rows,
            "written": written.pop("ok", 0),
            "readable afterwards": len(set(found)),
            "twice": len(found) - len(set(found)),
            "writers' errors": dict(written),
            "searches": readers * rows,
            "whole": searched.pop("ok", 0),
            "readers' errors": dict(searched),
        }


def is_good(told):
    """Whether every row is there once, and every search found whole rows."""
    rows = told["rows"]
    return (
        (told["written"], told["readable afterwards"], told["twice"]) == (rows, rows, 0)
        and told["whole"] == told["searches"]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["vectors", "dataset", "langchain"], default="vectors")
    servers.add_arguments(parser)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=50, help="by each writer")
    args = parser.parse_args()

    with servers.chosen(args) as hosts:
        told = tell(args.kind, hosts, args.writers, args.readers, args.rows)
    print(json.dumps(told, indent=2))
    return 0 if is_good(told) or not told["locks"] else 1


if __name__ == "__main__":
    sys.exit(main())
