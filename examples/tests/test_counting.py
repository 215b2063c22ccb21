"""The counting story of examples/counting: three instances, one lock, each counts to ten while it holds it."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

SCRIPT = ROOT / "examples" / "counting" / "dl_sci.py"


def test_three_instances_count_one_after_the_other(hosts: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("a") as output:
        instances = []
        for name in "abc":
            env = dict(os.environ, ZOOKY_SERVERS=hosts, COUNTING_NAME=name, COUNTING_PAUSE="0.05")
            command = [sys.executable, "-u", str(SCRIPT)]
            instances.append(subprocess.Popen(command, env=env, stdout=output))
        assert [instance.wait(60) for instance in instances] == [0, 0, 0]

    # Each line: date, time, name and colon, what is told. The file has them in the order in which they were written.
    told = [line.split(maxsplit=3)[2:] for line in log.read_text().splitlines()]
    numbers = [(name, int(what)) for name, what in told if what.isdigit()]
    order = [name for name, number in numbers if number == 1]
    assert sorted(order) == ["a:", "b:", "c:"]
    assert numbers == [(name, number) for name in order for number in range(1, 11)]
