"""What is to be said of given teachers before, and while, a run goes on: whether they may know what it holds out."""

from collections.abc import Sequence

from pipeline.cli.compose import Composition
from pipeline.errors import DamagedError
from pipeline.graph import Graph
from pipeline.recipe import task_seed
from pipeline.stage import Facts, Work
from pipeline.store import Store
from stages import given_data
from stages.parameters import resolved
from stages.tasks import given_teachers

_DATA = "data[train]"


def warnings_of(composition: Composition, graph: Graph, *, load: bool = False) -> list[str]:
    """Return what follows from what given teachers were trained on, as far as that is known by now.

    Args:
        composition: The run.
        graph: Its tasks; what is in the store has been taken into it.
        load: Whether the data set is loaded where nothing else tells which examples are held out.
    """
    there, class_names = composition.models.get("given", {}), _class_names(composition, graph)
    if not there or class_names is None:
        return []
    teachers = given_teachers(resolved(composition.config), class_names)
    seen = {one.name: (there[place]["description"] or {}).get("trained_on") for place, one in teachers.items()}
    here = _trained_on(composition, graph, load=load) if any(seen.values()) else {}
    if here is None:
        return []
    holds_out = composition.config.data.holdout > 0
    return given_data.warnings_of(given_data.backgrounds(list(teachers.values()), seen, here, holds_out=holds_out))


def _class_names(composition: Composition, graph: Graph) -> Sequence[str] | None:
    if composition.data.class_names is not None:
        return composition.data.class_names
    names: Sequence[str] | None = graph.deciding_facts().get(_DATA, {}).get("class_names")
    return names


def _trained_on(composition: Composition, graph: Graph, *, load: bool) -> Facts | None:
    """Return what tells which examples the run trains on; None where the data are neither kept nor to be loaded."""
    found = _trained_on_kept(composition.store, graph)
    if found is not None or not load:
        return found
    from stages import data  # noqa: PLC0415  # brings numpy, and what reads data

    task = graph.tasks[_DATA]
    return given_data.trained_on(data.load(**task.arguments, work=Work(seed=task_seed(task, composition.config.seed))))


def _trained_on_kept(store: Store, graph: Graph) -> Facts | None:
    """Return that of the data in the store; remembered, so that they are read once for it.

    None where they are not there, or damaged, which the store has told.
    """
    kept = graph.results.get(_DATA)
    if kept is None:
        return None
    place = f"trained on {kept.digest}"  # not its key: with --force it may be of other data
    known: Facts | None = store.recall(place)
    if known is not None:
        return known
    try:
        found = given_data.trained_on(store.load(kept))
    except DamagedError:
        return None
    store.remember(place, found)
    return found
