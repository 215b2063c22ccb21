"""Deep Lake, several writers, some readers: what breaks without locks, and what does not with them.

    python story.py                     # with locks, on the embedded server
    python story.py --without-locks     # to see what breaks
    python story.py --hosts zk1:2181    # on a ZooKeeper of yours

Needs deeplake 3.9: pip install zooky 'deeplake==3.9.52' 'numpy<2'. It exits with 1 if, with locks, a row is missing or
a search failed.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent


def start(role, who, store, rows, hosts):
    command = [sys.executable, str(HERE / "worker.py"), role, "--store", store, "--rows", str(rows), "--who", who]
    if hosts is not None:
        command += ["--hosts", hosts]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, **pipes)


def outcomes(processes):
    """What the workers say of each row, counted; deeplake prints lines of its own."""
    lines = (line for process in processes for line in process.stdout)
    return collections.Counter(line[4:].strip() for line in lines if line.startswith("row "))


def readable(store):
    """How many rows of the store can be read back, by a process that has seen none of it."""
    code = (
        "import offline, sys; from deeplake.core.vectorstore import VectorStore;"
        "store = VectorStore(sys.argv[1], read_only=True, verbose=False);"
        "print('rows', len(set(row['text'].data()['value'] for row in store.dataset)))"
    )
    command = [sys.executable, "-c", code, store]
    read = subprocess.run(command, cwd=HERE, text=True, capture_output=True)
    counts = [line.split()[1] for line in read.stdout.splitlines() if line.startswith("rows ")]
    return int(counts[0]) if counts else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-locks", action="store_true")
    parser.add_argument("--hosts")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=50, help="by each writer")
    args = parser.parse_args()

    with ExitStack() as stack:
        hosts = args.hosts
        if args.without_locks:
            hosts = None
        elif hosts is None:
            import zooky

            hosts = stack.enter_context(zooky.Server()).hosts
        store = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "store")
        # The store is there before the readers look for it.
        first = start("writer", "first", store, 1, hosts)
        outcomes_of_first = first.communicate("go\n")[0]
        assert "row ok" in outcomes_of_first, outcomes_of_first

        writers = [start("writer", f"writer{n}", store, args.rows, hosts) for n in range(args.writers)]
        readers = [start("reader", f"reader{n}", store, args.rows, hosts) for n in range(args.readers)]
        for process in writers + readers:
            assert process.stdout.readline() == "ready\n"
        for process in writers + readers:
            process.stdin.write("go\n")
            process.stdin.close()
        written, searched = outcomes(writers), outcomes(readers)
        for process in writers + readers:
            process.wait()
        wanted = args.writers * args.rows
        result = {
            "locks": hosts is not None,
            "rows written": f"{written['ok']} of {wanted}",
            "rows readable afterwards": f"{max(readable(store) - 1, 0)} of {wanted}",
            "writers' errors": {name: count for name, count in written.items() if name != "ok"},
            "searches": f"{searched['ok']} of {args.readers * args.rows}",
            "readers' errors": {name: count for name, count in searched.items() if name != "ok"},
        }
        print(json.dumps(result, indent=2))
        whole = [f"{wanted} of {wanted}"] * 2 == [result["rows written"], result["rows readable afterwards"]]
        if hosts is not None and not (whole and searched["ok"] == args.readers * args.rows):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
