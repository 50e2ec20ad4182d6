"""Trained networks that a config names in place of a training: what is said of them. Imports neither torch nor numpy.

A network is a file of weights, which may have a description beside it as a run has `student.json` beside
`student.safetensors`; or a function that returns a torch module.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from pipeline.errors import Fault, Location
from pipeline.stage import Facts, Json
from stages import manual
from stages.learning import files, model_files
from stages.learning.errors import LearningError
from stages.parameters import Parameters

GENERALIST: Location = ("generalist", "from")

_NEEDED = ("model", "outputs", "channels", "image_size", "mean", "std", "class_names")
_OPTIONAL = ("inside", "code", "subset", "prior_correction", "trained_on")


class Given(TypedDict):
    """What is known of a network that is there.

    `content` is the digest of its weights or of the function's module; `weights` where they are, or what function;
    `description` what is said beside a file of weights, None where nothing is.
    """

    content: str
    weights: str
    description: Facts | None


def named(parameters: Parameters) -> dict[Location, str]:
    """Return the networks that a config names, by where it does."""
    specialists = zip(places(parameters), parameters.specialists.given, strict=True)
    generalist = parameters.generalist.given
    first = {GENERALIST: generalist} if generalist is not None else {}
    return first | {place: one.weights for place, one in specialists}


def places(parameters: Parameters) -> list[Location]:
    """Return where the config names each specialist that is there."""
    return [("specialists", "from", i, "weights") for i in range(len(parameters.specialists.given))]


def described(weights: Path, content: str) -> dict[str, Json] | None:
    """Return what is said beside a file of weights: of a network, its classes and its input; None where nothing is.

    Args:
        weights: The file.
        content: What `model_files.digest` says of it, which need not be read for that.

    Raises:
        LearningError: Something else is said there, or the weights have not the `sha256` that is said.
    """
    path = weights.with_suffix(".json")
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LearningError(f"{path} must describe the network of {weights.name}; got: {error}") from error
    missing = [name for name in _NEEDED if name not in found] if isinstance(found, Mapping) else list(_NEEDED)
    if missing:
        raise LearningError(f"{path} must describe the network of {weights.name}; got nothing of {', '.join(missing)}")
    if not isinstance(found["model"], Mapping) or "name" not in found["model"]:
        raise LearningError(f"{path} must describe the network of {weights.name}; got no name of its model")
    seen = found.get("trained_on")
    if seen is not None and not (isinstance(seen, Mapping) and {"examples", "held_out"} <= seen.keys()):
        raise LearningError(f"trained_on of {path} must have the digests examples and held_out; got {seen}")
    noted = found.get("sha256")
    if noted is not None and model_files.digest_of(noted) != content:
        got = files.digest(weights)[:12]
        raise LearningError(f"{weights} must have the SHA-256 that {path.name} names, {noted[:12]}; got {got}")
    return {name: found[name] for name in (*_NEEDED, *_OPTIONAL) if name in found}


def check_module(said: Facts) -> None:
    """Check that what makes a described network, where that is a function, still has the text that it was trained with.

    Raises:
        LearningError: It has another, or its module is not there.
    """
    name = said["model"]["name"]
    model_files.check_module(name, said.get("code", model_files.digest(name, None)))


def faults_of(
    parameters: Parameters, given: Mapping[Location, Given], class_names: Sequence[str], image_shape: Sequence[int]
) -> list[Fault]:
    """Return what of the networks that is known without making them does not fit the data or the config.

    Args:
        parameters: The parameters; their listed classes are right.
        given: What is known of the networks, by where the config names them.
        class_names: Of every class, in the order of the ids.
        image_shape: Height, width and channels.
    """
    subsets = {
        place: [class_names[c] for c in manual.class_ids(one.subset, class_names)]
        for place, one in zip(places(parameters), parameters.specialists.given, strict=True)
    }
    return [
        (place, fault)
        for place, network in given.items()
        if network["description"] is not None
        for fault in _faults(network["description"], class_names, image_shape, subsets.get(place))
    ] + list(_order_faults(parameters, given, class_names))


def _order_faults(
    parameters: Parameters, given: Mapping[Location, Given], class_names: Sequence[str]
) -> Iterator[Fault]:
    """Yield the subsets in another order than the class set's, where nothing but that order says what outputs are."""
    for place, one in zip(places(parameters), parameters.specialists.given, strict=True):
        ordered = sorted(one.subset, key=lambda member: manual.id_of(member, class_names))
        if given[place]["description"] is None and ordered != list(one.subset):
            got, wanted = (", ".join(map(str, members)) for members in (one.subset, ordered))
            rule = "list classes in the order of the class set, for that must be the order of the network's outputs"
            hint = "and put the outputs in this order, too, where they are not"
            yield (*place[:-1], "subset"), f"must {rule}; got [{got}]; write [{wanted}], {hint}"


def _faults(
    said: Facts, class_names: Sequence[str], image_shape: Sequence[int], subset: Sequence[str] | None
) -> Iterator[str]:
    theirs = list(said["class_names"])
    if theirs != list(class_names):
        pairs = [f"'{a}' for '{b}'" for a, b in zip(theirs, class_names, strict=False) if a != b]
        got = (
            f"{len(theirs)} classes, for {len(class_names)}"
            if len(theirs) != len(class_names)
            else ", ".join(pairs[:3])
        )
        yield f"must be of a network that knows the classes of the data, in their order; got {got}"
    shape = [*said["image_size"], said["channels"]]
    if shape != list(image_shape):
        yield f"must be of a network for images of {_by(image_shape)}; got one for {_by(shape)}"
    of_network = None if "subset" not in said else [theirs[c] for c in said["subset"] if c < len(theirs)]
    if of_network != subset:
        yield f"must be of a network for {_told(subset)}; got one for {_told(of_network)}"


def _told(subset: Sequence[str] | None) -> str:
    return "all classes" if subset is None else ", ".join(subset)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
