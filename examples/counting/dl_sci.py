"""Three instances, one lock: each counts from 1 to 10 while it holds the lock.

    python dl_sci.py                                   # ZOOKY_SERVERS, or 127.0.0.1:2181
    ZOOKY_SERVERS=zookeeper1:2181,zookeeper2:2181,zookeeper3:2181 python dl_sci.py
"""

import logging
import os
import sys
import time

from zooky import ZooKeeperLock, ZookyError

HOSTS = os.environ.get("ZOOKY_SERVERS", "127.0.0.1:2181")
NAME = os.environ.get("COUNTING_NAME") or f"instance {os.getpid()}"
#: Seconds between two numbers.
PAUSE = float(os.environ.get("COUNTING_PAUSE", "0.5"))


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=f"%(asctime)s {NAME}: %(message)s")
    logger = logging.getLogger("counting")
    lock = ZooKeeperLock(HOSTS, "counting", logger=logger)
    try:
        lock.create_lock()
        logger.info("waiting for the lock")
        lock.acquire()
        logger.info("lock acquired, fencing token %s", lock.fencing_token)
        for number in range(1, 11):
            if not lock.is_acquired:
                logger.error("the lock is lost: stop counting")
                return 1
            logger.info("%d", number)
            time.sleep(PAUSE)
        lock.release()
        logger.info("lock released")
        return 0
    except ZookyError as error:
        logger.error("%s", error)
        return 1
    finally:
        lock.destroy_lock()


if __name__ == "__main__":
    sys.exit(main())
