"""What the tasks of several stages are named by, or read."""

from collections.abc import Mapping, Sequence
from itertools import product

from pipeline.errors import MisfitError
from pipeline.recipe import canonical, sha256
from pipeline.stage import Facts
from stages.parameters import ModelParameters, Parameters, check_classes, check_images

Known = Mapping[str, Facts]
Range = tuple[int, int]
SHARD_BYTES = 32 * 2**20
"""Size of a shard of the generalist's table. It decides the recipes, so no setting of the machine may change it."""


def shards_of(n_examples: int, n_classes: int, shard_bytes: int = SHARD_BYTES) -> list[Range]:
    """Return the ranges of examples that make the shards of one view.

    A row of the generalist's table takes 2 bytes a class and 8 for its maximum and logsumexp.
    """
    size = max(1, shard_bytes // (2 * n_classes + 8))
    return [(start, min(start + size, n_examples)) for start in range(0, n_examples, size)]


def view_shards(parameters: Parameters, known: Known) -> dict[str, tuple[int, Range]]:
    """Return view and range of transfer set rows of every shard, by name: view, then part."""
    parts = shards_of(transfer_size(parameters, known), len(known["data[train]"]["class_names"]))
    return {
        f"{view}.{part}": (view, rows)
        for view, (part, rows) in product(range(parameters.data.n_views), enumerate(parts))
    }


def transfer_size(parameters: Parameters, known: Known) -> int:
    """Return the number of examples of the transfer set."""
    size: int = (
        known["data[train]"]["transfer"] if parameters.data.transfer.is_everything else known["transfer"]["rows"]
    )
    return size


def fitting_classes(parameters: Parameters, known: Known) -> Sequence[str]:
    """Return the names of the classes.

    Raises:
        MisfitError: The parameters do not fit them, or the images; lists all faults.
    """
    train = known["data[train]"]
    class_names: Sequence[str] = train["class_names"]
    faults = check_classes(parameters, len(class_names), class_names) + check_images(parameters, train["image_shape"])
    if faults:
        raise MisfitError(faults)
    return class_names


def combined_name(parameters: Parameters, active_classes: int, shard: str) -> str:
    """Return what sets a combination apart; the number of active classes where it is not the config's own."""
    own = active_classes == parameters.combine.active_classes
    return shard if own else f"active={active_classes}/{shard}"


def where_any(argument: str, task_ids: list[str]) -> dict[str, list[str]]:
    """Return an input that is left out where it is empty: what does not ask for it has the recipe it always had."""
    return {argument: task_ids} if task_ids else {}


def subsets_of(known: Known) -> dict[str, list[int]]:
    """Return the subsets by name: their sorted classes. Without those whose specialist this run has dropped."""
    dropped = known.get("dropped", {}).get("tasks", ())
    return {name: classes for name, classes in found_subsets(known).items() if f"specialist[{name}]" not in dropped}


def found_subsets(known: Known) -> dict[str, list[int]]:
    """Return all subsets by name."""
    return {subset_name(subset["classes"]): subset["classes"] for subset in known["subsets"]["subsets"]}


def subset_name(classes: Sequence[int]) -> str:
    """Return the name of a subset: its class ids where that stays readable, their digest where there are many."""
    name = "-".join(map(str, classes))
    return name if len(name) <= 40 else f"{len(classes)}-classes-{sha256(canonical(list(classes)))[:12]}"


def without_path(model: ModelParameters) -> ModelParameters:
    """Return a network's parameters without the path of its weights: a recipe has their digest."""
    return model.model_copy(update={"weights": None})


def model_content(known: Known, section: str) -> dict[str, str]:
    """Return the digest of the files that a network is made of, where there are any."""
    files = known["models"].get(section)
    return {f"{section}.model.content": files["content"]} if files else {}


def model_file(known: Known, section: str) -> dict[str, str]:
    """Return where the weights are that a network starts from, where it does."""
    files = known["models"].get(section)
    return {"weights": files["weights"]} if files and files["weights"] else {}


def memory(parameters: Parameters) -> dict[str, float]:
    """Return what a training may take on its device: it decides no result."""
    return {"memory_budget": parameters.data.memory_budget}
