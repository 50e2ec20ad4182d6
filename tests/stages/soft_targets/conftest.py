"""The tiny run's tables, two views of two shards each, kept in a store and recorded as a finished run."""

from dataclasses import dataclass

import pytest

from pipeline.stage import Work
from pipeline.store import Store
from stages import combined, targets
from stages.soft_targets import SoftTargets

RUN = "tiny-20260102-030405-678"
SHARDS = ((0, 150), (150, 240))


@dataclass(frozen=True)
class Kept:
    """A store, and the artifacts in it by task."""

    location: str
    artifacts: dict

    def open(self, teacher="combined"):
        return SoftTargets.open(self.location, f"tiny:{teacher}")

    def whole(self, teacher):
        """Return the shards of a teacher in canonical order, as the stage made them."""
        wanted = "combined[{}.{}]" if teacher == "combined" else f"targets[{teacher}/{{}}.{{}}]"
        return [self.artifacts[wanted.format(view, part)] for view in range(2) for part in range(2)]


@pytest.fixture(scope="session")
def artifacts(dataset, two_views, generalist_net, specialist_nets):
    """All results of the run, by task."""
    found = {"data[train]": dataset, "generalist": generalist_net}
    found |= {f"views[{view.facts['view']}]": view for view in two_views}
    found |= {f"specialist[{net.facts['name']}]": net for net in specialist_nets}
    for v, view in enumerate(two_views):
        for part, rows in enumerate(SHARDS):
            common = {"dataset": dataset, "view": view, "rows": rows, "work": Work()}
            whole = targets.score(**common, teacher=generalist_net)
            parts = [
                targets.score(**common, teacher=net, generalist=whole, active_classes=2) for net in specialist_nets
            ]
            found[f"targets[generalist/{v}.{part}]"] = whole
            found |= {f"targets[{table.facts['teacher']}/{v}.{part}]": table for table in parts}
            found[f"combined[{v}.{part}]"] = combined.combine(
                generalist=whole, specialists=parts, divergence="forward", work=Work()
            )
    return found


@pytest.fixture(scope="session")
def keep(artifacts, tmp_path_factory):
    """Return the function that keeps the run in a store of its own, with changed artifacts."""

    def keep(changes=None, *, run=RUN):
        store = Store.open(str(tmp_path_factory.mktemp("store")))
        kept = artifacts | (changes or {})
        parameters = {
            "data[train]": {"data.kind": "npz", "data.digest": "d" * 64, "data.holdout": 0.2, "split": "train"}
        }
        keys = {
            task: store.save({"task": task, "parameters": parameters.get(task, {})}, artifact, seconds=0.0).key
            for task, artifact in kept.items()
        }
        store.record_run(run, keys)
        return Kept(store.location, kept)

    return keep


@pytest.fixture(scope="session")
def kept(keep):
    return keep()
