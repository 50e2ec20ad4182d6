"""Stage `given`: trained networks that are there already, checked before anything is trained."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.recipe import sha256
from pipeline.stage import Artifact, Facts, Json, Work
from stages import given_accuracy, network
from stages.given_data import trained_on
from stages.learning import model_files, models, views
from stages.learning.errors import LearningError
from stages.parameters import ModelParameters
from stages.tasks import subset_name


def load(
    *,
    dataset: Artifact,
    weights: str,
    content: str,
    description: Facts | None = None,
    model: ModelParameters | None = None,
    code: str | None = None,
    subset: Sequence[int] | None = None,
    prior_correction: float | None = None,
    is_start: bool = False,
    work: Work,
) -> Artifact:
    """Load one network, try it on two images, and tell how good it is on the holdout.

    Args:
        dataset: The training half of the data set.
        weights: A file, or `python:MODULE:FACTORY`.
        content: The digest that it must have.
        description: What is said beside a file: its network, and what that expects.
        model: The network of a file beside which nothing is said.
        code: Where a function makes that one, the digest that its module must have.
        subset: Of a specialist its classes, ascending: its outputs are these, and then the dustbin.
        prior_correction: Of a specialist, what is added to its dustbin's logit; None for what the description says, or
            nothing.
        is_start: Whether specialists start from it, and so from its last layer.
        work: Its threads; it is told what `given_accuracy.tell` says.

    Returns:
        The network as stage `generalist` or `specialist` returns it, but without a history; facts also hold the
        digests of what it was `trained_on`, where these are known. Whoever has them and the data can tell whether it
        may know what it is measured by: see `given_data`.

    Raises:
        LearningError: It is not what was planned, cannot be made, or does not fit the data.
    """
    _check_content(weights, content)
    if model is not None and code is not None:
        model_files.check_module(model.name, code)
    n_outputs = len(dataset.facts["class_names"]) if subset is None else len(subset) + 1
    net = _loaded(
        weights, _description(weights, description, model, n_outputs, dataset), is_described=bool(description)
    )
    images = models.as_tensor(dataset.arrays["images"][:2])
    said = net.facts["network"]
    seen = views.normalise(images, said["mean"], said["std"])
    made = network.from_artifact(net)
    models.check(made, seen, said["outputs"])
    if is_start:
        models.head_weights(made, net.arrays)
        models.check_head(made, seen)
    seen_by_it = (description or {}).get("trained_on")
    facts: dict[str, Json] = {"history": [], "state": "given"} | ({"trained_on": seen_by_it} if seen_by_it else {})
    if subset is not None:
        correction = (description or {}).get("prior_correction", 0.0) if prior_correction is None else prior_correction
        facts |= {"name": subset_name(subset), "subset": list(subset), "prior_correction": correction}
    found = Artifact(net.arrays, {**net.facts, **facts})
    is_bare = description is None and not weights.startswith("python:")
    given_accuracy.tell(found, dataset, name=Path(weights).name, is_bare=is_bare, work=work)
    return found


def use(*, given: Artifact, work: Work) -> Artifact:  # noqa: ARG001
    """Return a network that is there in place of one that is trained."""
    return given


def described_weights(net: Artifact, dataset: Artifact, origins: Sequence[Facts] = ()) -> tuple[bytes, dict[str, Json]]:
    """Return the weights of a trained network as safetensors, and what `given_files.described` wants to be said of it.

    Args:
        net: The network.
        dataset: The training half of its data set.
        origins: The facts of what it began as or learned from, teachers and imported soft targets: it may know
            examples that one of these has seen elsewhere, too.
    """
    from safetensors.numpy import save  # noqa: PLC0415  # only who writes a file needs it

    weights = save({name: array.copy() for name, array in net.arrays.items()}, metadata={"format": "pt"})
    of_specialist = {name: net.facts[name] for name in ("subset", "prior_correction") if name in net.facts}
    seen = _seen(net.facts, dataset, origins)
    said = {
        "sha256": sha256(weights),
        "class_names": dataset.facts["class_names"],
        "parameters": net.facts["parameters"],
        **({"trained_on": seen} if seen else {}),
    }
    return weights, {**said, **net.facts["network"], **of_specialist}


def _seen(facts: Facts, dataset: Artifact, origins: Sequence[Facts]) -> Json:
    """Return the digests of what a network was trained on; None where that is not known."""
    if facts.get("state") == "given":  # it is known of it what was known before
        return facts.get("trained_on")
    here = trained_on(dataset)
    # An imported table tells nothing of the network behind it.
    foreign = [origin for origin in origins if origin.get("state") == "given" or "network" not in origin]
    return here if all(origin.get("trained_on") == here for origin in foreign) else None


def _check_content(weights: str, content: str) -> None:
    name, path = model_files.split(weights)
    found = model_files.digest(name, path)
    if found != content:
        rule = f"be what it was when the run was planned, with the digest {content[:12]}"
        raise LearningError(f"{weights} must {rule}; got {str(found)[:12]}")


def _description(
    weights: str, said: Facts | None, model: ModelParameters | None, n_outputs: int, dataset: Artifact
) -> network.Description:
    """Return what rebuilds the network and prepares its input."""
    if said is not None:
        names = [name for name in network.Description.__annotations__ if name in said]
        found: network.Description = {name: said[name] for name in names}  # type: ignore[assignment]
        wanted = found.get("inside", found["outputs"] - 1) + 1
        if wanted != n_outputs:
            raise LearningError(f"{weights} must have {n_outputs} outputs; got {wanted}")
        return found
    is_function = weights.startswith("python:")
    made = ModelParameters(name=weights) if is_function or model is None else model
    found = network.describe(made, outputs=n_outputs, dataset=dataset)
    if is_function:
        # Somebody's function knows what its network expects; what it cannot know is the mean of these data.
        n_channels = found["channels"]
        found |= {"mean": [0.0] * n_channels, "std": [1.0] * n_channels}
    return found


def _loaded(weights: str, description: network.Description, *, is_described: bool) -> Artifact:
    """Return the network; what a function returns has its weights already."""
    made = network.build(description, seed=0)
    if not weights.startswith("python:"):
        path, name = Path(weights), description["model"]["name"]
        place = path.with_suffix(".json").name if is_described else "generalist.model"
        another = "name the file's network there, or give a function that returns it, python:MODULE:FACTORY"
        hint = "" if is_described else f"; {another}"
        models.load_weights(made, path, whole=True, of=f"the network that {place} names, {name}", hint=hint)
    return network.to_artifact(made, description, {})
