"""The same calls as a run makes, one after the other in one process: no Ray, nothing kept, no plan, no report.

    python -m benchmarks.plain CONFIG

What a run takes beyond this is what it costs to be parallel, stopped and reused. Prints the seconds of the calls, by
stage, as JSON.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from pipeline.cli.compose import compose
from pipeline.recipe import task_seed
from pipeline.stage import Artifact, Facts, Work, imported
from stages import STAGES
from stages.parameters import resolved


def main(config: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # the data set's digest is remembered in a store
        composition = compose(config, [f"store={folder}"])
        known = composition.known
    seconds: dict[str, float] = defaultdict(float)
    made: dict[str, Artifact] = {}
    facts: dict[str, Facts] = dict(known)
    for stage in STAGES:
        for task in imported(stage.tasks)(resolved(composition.config), facts) if stage.kept else ():
            inputs = {
                name: made[ids] if isinstance(ids, str) else [made[i] for i in ids] for name, ids in task.inputs.items()
            }
            started = time.perf_counter()
            work = Work(seed=task_seed(task, composition.config.seed), threads=task.threads)
            made[task.id] = imported(stage.function)(**inputs, **task.arguments, work=work)
            seconds[stage.name] += time.perf_counter() - started
            facts[task.id] = made[task.id].facts
    print(json.dumps({name: round(value, 2) for name, value in seconds.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
