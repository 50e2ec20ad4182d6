"""Save an artifact again and again, killed one step of the commit later each time; print the number of steps.

Usage: die_at_each_step.py LOCATION. The n-th attempt's store is LOCATION/n.
"""

import importlib
import itertools
import os
import signal
import sys

import numpy as np

from pipeline.stage import Artifact
from pipeline.store import Store
from pipeline.store.files import LocalFiles
from pipeline.store.objects import ObjectFiles
from pipeline.store.places import cache_folder


def save(location, lives):
    steps = itertools.count()

    def step(_):
        if next(steps) == lives:
            os.kill(os.getpid(), signal.SIGKILL)

    Store.open(location)
    artifact = Artifact({"weights": np.arange(100, dtype=np.float32)}, {"accuracy": 0.9})
    Store(files_at(location, step)).save({"stage": "generalist", "seed": 1}, artifact, seconds=1.0)


def files_at(location, steps):
    if "://" not in location:
        return LocalFiles(location, steps=steps)
    return ObjectFiles(location, LocalFiles(str(cache_folder())), steps=steps)


if "://" in sys.argv[1]:
    # Once, and not in each of the processes that are to die.
    importlib.import_module("s3fs")
for lives in itertools.count():
    location = f"{sys.argv[1]}/{lives}"
    pid = os.fork()
    if pid == 0:
        save(location, lives)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        print(lives)
        break
