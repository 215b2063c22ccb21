"""Stock locks as Python programs meet them, steered line by line.

kazoo's are kazoo's own. The others are plain clients that write the names and data, and sort the children, as zktools,
go-zookeeper, aiozk and the Rust crate zookeeper-client do: nothing of zktools runs on Python 3, and the rest is not
Python or not worth an interpreter of its own.
"""
import re
import sys
import threading
import time
import uuid

from kazoo.client import KazooClient
from kazoo.exceptions import LockTimeout, NodeExistsError
from kazoo.security import OPEN_ACL_UNSAFE

client = KazooClient(hosts=sys.argv[1], timeout=10.0)
client.start(30)


class Kazoo:
    def __init__(self, kind, path):
        leases = {"Semaphore": 2, "LargeSemaphore": 5}.get(kind)
        more = {"max_leases": leases} if leases else {}
        self.lock = getattr(client, kind.removeprefix("Large"))(path, "stock", **more)

    def acquire(self, seconds):
        try:
            return self.lock.acquire(timeout=seconds)
        except LockTimeout:
            return False

    def release(self):
        self.lock.release()


def digits_after_dash(name):
    return name[name.rfind("-") + 1:]


def ten_digits(name):
    return int(name[-10:]) if re.fullmatch(r".*[0-9]{10}", name) else None


class Plain:
    """A lock by hand: `stem` is its name up to the number, `order` sorts, `blocks` tells who of those before counts."""

    def __init__(self, path, stem, data, order, blocks=lambda name: True, directories=()):
        self.path, self.stem, self.data, self.order, self.blocks = path, stem, data, order, blocks
        for directory, content in directories:
            try:
                client.create(directory, content, acl=OPEN_ACL_UNSAFE)
            except NodeExistsError:
                pass
        client.ensure_path(path)

    def acquire(self, seconds):
        end = time.monotonic() + seconds
        self.node = client.create(
            f"{self.path}/{self.stem}", self.data, acl=OPEN_ACL_UNSAFE, ephemeral=True, sequence=True)
        own = self.node.rsplit("/", 1)[1]
        while True:
            before = [name for name in client.get_children(self.path)
                      if name != own and self.order(name) is not None and self.order(name) < self.order(own)
                      and self.blocks(name)]
            if not before:
                return True
            gone = threading.Event()
            last = max(before, key=self.order)
            if client.exists(f"{self.path}/{last}", watch=lambda event: gone.set()):
                left = end - time.monotonic()
                if left <= 0 or not gone.wait(left):
                    self.release()
                    return False

    def release(self):
        client.delete(self.node)


def go_number(name):
    """go-zookeeper fails where it cannot read a number: that is not to wait."""
    return int(name.split("lock-")[-1] if "lock-" in name else name.split("__")[-1])


def make(kind, path):
    hexes, dashed = uuid.uuid4().hex, str(uuid.uuid4())
    root, last = path.rsplit("/", 1)
    zktools = [(root, b"zktools ZLock dir"), (path, b"lock")]
    zkasync = [(root, b"zktools ZLock dir"), (path, b"zktools ZLock dir")]
    if kind in ("Lock", "WriteLock", "ReadLock", "Semaphore", "LargeSemaphore"):
        return Kazoo(kind, path)
    dash, ten = digits_after_dash, ten_digits
    return {
        "ZkLock": lambda: Plain(path, f"{hexes}-lock--", b"0", dash, directories=zktools),
        "ZkWriteLock": lambda: Plain(path, f"{hexes}-write--", b"0", dash, directories=zktools),
        "ZkReadLock": lambda: Plain(
            path, f"{hexes}-read--", b"0", dash, lambda name: "-write-" in name, directories=zktools),
        "ZkAsyncLock": lambda: Plain(path, f"{hexes}-lock-", b"0", dash, directories=zkasync),
        "old-lock": lambda: Plain(path, "lock-", b"0", dash, directories=zktools),
        "old-write": lambda: Plain(path, "write-", b"0", dash, directories=zktools),
        "old-read": lambda: Plain(
            path, "read-", b"0", dash, lambda name: name.startswith("write-"), directories=zktools),
        "c-recipe": lambda: Plain(
            path, f"x-{client.client_id[0]:016x}-", b"", lambda name: dash(name) if "-" in name else None),
        "go": lambda: Plain(path, f"_c_{hexes}-lock-", b"", go_number),
        "aiozk-lock": lambda: Plain(path, f"lock-{hexes}-", b"", ten),
        "aiozk-read": lambda: Plain(
            path, f"read-{hexes}-", b"", ten, lambda name: name.rsplit("-", 2)[0] == "write"),
        "rust": lambda: Plain(path, f"_c_{dashed}-mine", b"", ten, lambda name: "mine" in name),
    }[kind]()


locks = {}
print("started")
for line in sys.stdin:
    verb, name, *rest = line.split()
    try:
        if verb == "new":
            locks[name] = make(*rest)
            print("done")
        elif verb == "acquire":
            print("acquired", "true" if locks[name].acquire(float(rest[0])) else "false")
        else:
            locks.pop(name).release()
            print("released")
    except Exception as fault:
        print("acquired failed" if verb == "acquire" else "trouble", repr(fault))
