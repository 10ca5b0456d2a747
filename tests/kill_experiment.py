"""Runs an experiment in processes that are killed at random moments, until it is done; not a test module itself.

`python kill_experiment.py CATALOG EXPERIMENT.toml KILLS SEED` prints how many kills hit a running process. Children are
forked from this single-threaded process, so imports are paid for once.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from provenance.catalog.store import Catalog
from provenance.recursion.config import load_experiments
from provenance.recursion.in_catalog import plan_experiment, run_in_catalog


def run(root: Path, file: Path) -> None:
    """The experiment, to its end."""
    catalog = Catalog.open(root)
    for _ in run_in_catalog(catalog, plan_experiment(catalog, load_experiments(file)[0], folder=file.parent)):
        pass


def main(root: Path, file: Path, kills: int, seed: int) -> None:
    """Kill until `kills` have hit, then let it finish. Lives from 10 ms to 3 s, so early and late moments are hit."""
    chance = random.Random(seed)
    hits, finished = 0, False
    while not finished:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(root, file)
                code = 0
            finally:
                os._exit(code)
        if hits < kills:
            time.sleep(10 ** chance.uniform(-2.0, 0.5))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            hits += 1
        elif os.WEXITSTATUS(status) != 0:
            sys.exit(1)
        else:
            finished = True
    sys.stdout.write(f"{hits}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
