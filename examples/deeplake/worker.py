"""One process of the story: it writes rows to a vector store, or searches it, with locks or without.

Run by story.py. What came of each row or search is printed as `row ok`, or `row` and the kind of the error.
"""

import argparse
import sys
from contextlib import nullcontext

import offline  # noqa: F401  Before deeplake.
import numpy as np
from deeplake.core.vectorstore import VectorStore

import zooky
from zooky.deeplake import read_lock, write_lock

#: A model would be used here; the length of the text and its first letters will do.
WIDTH = 8


def embedding(texts):
    texts = [texts] if isinstance(texts, str) else texts
    return [np.frombuffer(text.encode().ljust(WIDTH)[:WIDTH], dtype=np.uint8).astype(np.float32) for text in texts]


def write(store, who, number):
    # Opened under the lock: another worker has written since the last time.
    vectors = VectorStore(store, lock_enabled=False, verbose=False)
    text = f"{who}-{number}"
    vectors.add(
        text=[text],
        metadata=[{"who": who, "number": number}],
        embedding_function=embedding,
        embedding_data=[text],
    )


def search(store, who, number):
    vectors = VectorStore(store, read_only=True, lock_enabled=False, verbose=False)
    found = vectors.search(embedding_data=f"{who}-{number}", embedding_function=embedding, k=4)
    if len(found["text"]) != len(found["metadata"]):
        raise ValueError("a torn read")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["writer", "reader"])
    parser.add_argument("--store", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--who", required=True)
    parser.add_argument("--hosts", help="ZooKeeper; without it no lock is taken")
    args = parser.parse_args()

    if args.hosts is None:
        lock = nullcontext
    else:
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
                step(args.store, args.who, number)
            print("row ok", flush=True)
        except Exception as error:  # Whatever deeplake raises when another writes at the same time.
            print("row", type(error).__name__, flush=True)
    if args.hosts is not None:
        client.stop()


if __name__ == "__main__":
    main()
