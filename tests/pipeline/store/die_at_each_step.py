"""Save an artifact again and again, killed one step of the commit later each time; print the number of steps.

Usage: die_at_each_step.py FOLDER. The n-th attempt's store is FOLDER/n.
"""

import itertools
import os
import signal
import sys

import numpy as np

from pipeline.stage import Artifact
from pipeline.store import Store
from pipeline.store.files import LocalFiles


def save(location, lives):
    steps = itertools.count()

    def step(_):
        if next(steps) == lives:
            os.kill(os.getpid(), signal.SIGKILL)

    artifact = Artifact({"weights": np.arange(100, dtype=np.float32)}, {"accuracy": 0.9})
    Store(LocalFiles(location, steps=step)).save({"stage": "generalist", "seed": 1}, artifact, seconds=1.0)


for lives in itertools.count():
    location = f"{sys.argv[1]}/{lives}"
    Store.open(location)
    pid = os.fork()
    if pid == 0:
        save(location, lives)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        print(lives)
        break
