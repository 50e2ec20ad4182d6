"""What the tables of the tiny run are kept under, worked out from its record alone; also run by other processes."""

import json
import sys

from pipeline.cli.schema import Config
from pipeline.recipe import key_of, recipe
from pipeline.store import Store
from stages import STAGES, tasks
from tests.stages.tasks.listing import changed

KNOWN = {
    "data[train]": {"transfer": 240, "class_names": list("abcdeg")},
    "subsets": {"subsets": [{"classes": [0, 1]}, {"classes": [2, 3]}]},
}
TABLES = ("targets[generalist/0.0]", "targets[0-1/0.0]", "combined[0.0]")


def keys(location, **changes):
    """Return the keys of the first shard of three tables, by task.

    Settings are changed as `changed` does.
    """
    store = Store.open(location)
    kept = {task: store.find(key).digest for task, key in store.runs()[0].keys.items()}
    sections = {"name": "tiny", "data": {"source": "npz:tiny.npz", "views": 2}}
    parameters = Config.model_validate(changed(sections, changes))
    listed = {task.id: task for stage in (tasks.targets, tasks.combined) for task in stage(parameters, KNOWN)}
    return {name: _key(listed[name], kept) for name in TABLES}


def _key(task, digests):
    inputs = {
        name: digests[wanted] if isinstance(wanted, str) else [digests[one] for one in wanted]
        for name, wanted in task.inputs.items()
    }
    stage = next(stage for stage in STAGES if stage.name == task.stage)
    return key_of(recipe(stage, task, seed=0, inputs=inputs))


if __name__ == "__main__":
    print(json.dumps(keys(sys.argv[1])))
