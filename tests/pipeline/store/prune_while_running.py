"""Three processes do runs on one store and read all they use again and again, while a fourth prunes.

Usage: prune_while_running.py FOLDER. Prints as JSON the number of runs, of files pruned, and all faults.

Each run uses the results of a few numbers out of many, made new or left by earlier runs. What it claims has to stay
until it is done. The grace is two seconds: of what nobody claims most is older, and is taken away all the time. They
go on until enough was.
"""

import json
import multiprocessing
import random
import sys
import time

from pipeline.errors import PipelineError
from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Hold, Store
from pipeline.store.prune import Prune
from tests.waiting import PATIENCE

RUNNERS, SECONDS, GRACE, ENOUGH = 3, 4.0, 2.0, 20


def obtain(store, hold, number):
    """Return the manifest of a number's result, claimed."""
    recipe = {"stage": "numbers", "seed": number}
    while True:
        manifest = store.find(key_of(recipe))
        if manifest is None:
            # Several numbers have the same content, so that objects are shared.
            manifest = store.save(recipe, Artifact(facts={"number": number % 5}), seconds=1.0)
        if not hold.add({f"numbers[{number}]": manifest.key}):
            return manifest


def run(location, rank, deleted, results):
    store, numbers = Store.open(location), random.Random(rank)
    faults, runs, begun = [], 0, time.monotonic()
    while time.monotonic() - begun < (SECONDS if deleted.value > ENOUGH and runs > ENOUGH / RUNNERS else PATIENCE):
        hold = Hold(store, f"run-{rank}-{runs}")
        used = {}
        for number in numbers.sample(range(40), 6):
            used[number] = obtain(store, hold, number)
            for other, manifest in used.items():
                try:
                    assert store.facts(manifest) == {"number": other % 5}
                except (PipelineError, AssertionError) as error:
                    faults.append(f"{rank} in run {runs}, number {other}: {error!r}")
        hold.release()
        runs += 1
    results.put((runs, 0, faults + store.damages))


def prune(location, running, deleted, results):
    store = Store.open(location)
    while running.is_set():
        work = Prune(store, days=0, grace=GRACE / (24 * 3600))
        deleted.value += len(work.delete(work.doomed()))
    results.put((0, deleted.value, store.damages))


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    results, running, deleted = fork.SimpleQueue(), fork.Event(), fork.Value("i", 0)
    running.set()
    pruner = fork.Process(target=prune, args=(sys.argv[1], running, deleted, results))
    runners = [fork.Process(target=run, args=(sys.argv[1], rank, deleted, results)) for rank in range(RUNNERS)]
    for process in [pruner, *runners]:
        process.start()
    for process in runners:
        process.join()
    running.clear()
    pruner.join()
    told = [results.get() for _ in range(RUNNERS + 1)]
    runs, deleted, faults = zip(*told, strict=True)
    print(json.dumps({"runs": sum(runs), "deleted": sum(deleted), "faults": [fault for f in faults for fault in f]}))
