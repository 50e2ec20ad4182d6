"""The tasks of a small run, and what decides them."""

from pipeline.recipe import recipe
from pipeline.stage import imported
from stages import STAGES
from stages.parameters import Parameters

STAGE = {stage.name: stage for stage in STAGES}


KNOWN = {
    "source": {"kind": "npz", "digest": "d" * 64, "root": "/data", "classes": 5, "stamp": {}},
    "models": {},
    "data[train]": {"transfer": 240, "holdout": 60, "class_names": list("abcdeg"), "image_shape": [8, 8, 1]},
    "subsets": {"subsets": [{"classes": [0, 1]}, {"classes": [2, 3]}]},
    "imported": {"clip": {"digest": "c" * 64, "store": "/store", "record": "imported-1"}},
}


def with_changes(**changes):
    """Return parameters, changed as `changed` does."""
    return Parameters.model_validate(changed({"data": {"source": "npz:tiny.npz", "augment": {"flip": True}}}, changes))


def changed(sections, changes):
    """Return sections of a config, changed by `section__field=value`, or a whole one by `section=value`."""
    sections = {name: dict(values) if isinstance(values, dict) else values for name, values in sections.items()}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        if field:
            sections.setdefault(section, {})[field] = value
        else:
            sections[section] = value
    return sections


def listed(stage, known=KNOWN, **changes):
    """Return the tasks of a stage by id."""
    found = imported(STAGE[stage].tasks)(with_changes(**changes), known)
    return {task.id: task for task in found}


def recipes(stage, known=KNOWN, **changes):
    """Return what a stage's tasks are kept under, their inputs standing for their digests."""
    found = listed(stage, known, **changes)
    return {name: recipe(STAGE[stage], task, seed=0, inputs=task.inputs) for name, task in found.items()}


def all_tasks(**changes):
    return [task for stage in STAGE for task in listed(stage, **changes).values()]
