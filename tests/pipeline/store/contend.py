"""Eight processes save different artifacts under the same keys while two others read what is there.

Usage: contend.py LOCATION [ROUNDS]. Prints as JSON the digests each process was told or saw, by key, and all faults.
"""

import importlib
import json
import multiprocessing
import sys
import time

import numpy as np

from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Store

WRITERS, READERS = 8, 2
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
RECIPES = [{"stage": "student", "round": number} for number in range(ROUNDS)]


def write(location, rank, barrier, results):
    store = Store.open(location)
    told = {}
    for recipe in RECIPES:
        artifact = Artifact({"x": np.full(20_000, rank)}, {"rank": rank})
        barrier.wait()
        told[key_of(recipe)] = store.save(recipe, artifact, seconds=1.0).digest
    results.put((told, store.damages))


def read(location, writing, results):
    store = Store.open(location)
    seen, faults = {}, []
    while True:
        last = not writing.is_set()
        for recipe in RECIPES:
            manifest = store.find(key_of(recipe))
            if manifest is None:
                continue
            if seen.setdefault(manifest.key, manifest.digest) != manifest.digest:
                faults.append(f"{manifest.key} has changed")
            artifact = store.load(manifest)
            if set(artifact.arrays["x"].tolist()) != {artifact.facts["rank"]}:
                faults.append(f"{manifest.key} is a mixture")
        # One server answers all, one after the other.
        time.sleep(0.05 if "://" in location else 0)
        if last:
            results.put((seen, faults + store.damages))
            return


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    results, barrier, writing = fork.SimpleQueue(), fork.Barrier(WRITERS), fork.Event()
    writing.set()
    location = sys.argv[1]
    if "://" in location:
        # Once, and not in each of the processes.
        importlib.import_module("s3fs")
    writers = [fork.Process(target=write, args=(location, rank, barrier, results)) for rank in range(WRITERS)]
    readers = [fork.Process(target=read, args=(location, writing, results)) for _ in range(READERS)]
    for process in [*writers, *readers]:
        process.start()
    for process in writers:
        process.join()
    writing.clear()
    for process in readers:
        process.join()
    told = [results.get() for _ in range(WRITERS + READERS)]
    print(json.dumps({"seen": [digests for digests, _ in told], "faults": [fault for _, f in told for fault in f]}))
