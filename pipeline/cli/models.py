"""What is known of a run's networks before any work: the files they are made of, from what was remembered of them."""

from pathlib import Path

from pipeline.cli.schema import Config
from pipeline.errors import Fault, Location
from pipeline.stage import Facts
from pipeline.store import Store
from stages import given_files
from stages.given_files import Given
from stages.learning import model_files, weight_headers
from stages.learning.errors import LearningError

SECTIONS = ("generalist", "student")
"""Sections of the config that have a network."""


def find(config: Config, store: Store) -> tuple[Facts, list[Fault]]:
    """Return what is known of the files of each network that has any, and what is wrong with the others.

    Args:
        config: The run's config.
        store: Where digests are remembered, while the files stay the same.

    Returns:
        By section `content`, a digest, and `weights`, the path of a file or None; as `given` what is known of networks
        that are there already, by where the config names them; as `modules` the digests of those that have a function
        which makes a network, by name; and the faults.
    """
    facts: dict[str, Facts] = {}
    faults: list[Fault] = []
    for section in SECTIONS:
        model = getattr(config, section).model
        weights = Path(model.weights).absolute() if model.weights else None
        try:
            content = _content(model.name, weights, store)
        except LearningError as error:
            faults.append(((section, "model", "weights" if weights else "name"), str(error)))
            continue
        if content:
            facts[section] = {"content": content, "weights": str(weights) if weights else None}
    given, missing = _given(config, store)
    functions = [getattr(config, section).model.name for section in SECTIONS if section in facts]
    functions += map(_made_by, given.values())
    modules = {model_files.module_of(name): _content(name, None, store) for name in functions}
    there: Facts = {"given": given, "modules": {name: code for name, code in modules.items() if name}}
    return facts | {name: found for name, found in there.items() if found}, faults + missing


def _given(config: Config, store: Store) -> tuple[dict[Location, Given], list[Fault]]:
    """Return what is known of the networks that are there already, by where the config names them."""
    found: dict[Location, Given] = {}
    faults: list[Fault] = []
    for place, weights in given_files.named(config).items():
        name, path = model_files.split(weights)
        try:
            content = _content(name, path, store)
            said = given_files.described(path, content) if path and content else None
            if said is not None:
                given_files.check_module(said)
        except LearningError as error:
            faults.append((place, str(error)))
            continue
        if content is not None:
            found[place] = {"content": content, "weights": str(path or weights), "description": said}
    return found, faults


def _made_by(network: Given) -> str:
    """Return what makes a network that is there already, where it is not the config that says what it is."""
    said = network["description"]
    return network["weights"] if said is None else str(said["model"]["name"])


def _content(name: str, weights: Path | None, store: Store) -> str | None:
    """Return the digest of the files of a network, read only when they are not those of the last time.

    Raises:
        LearningError: A file is not there, or is none of weights.
    """
    stamp = model_files.stamp(name, weights)
    if stamp is None:
        return None
    if weights is not None:
        weight_headers.check(weights)
    place = f"model {name} {weights}"
    known = store.recall(place)
    if known is None or known["stamp"] != stamp:
        known = {"stamp": stamp, "digest": model_files.digest(name, weights)}
        store.remember(place, known)
    digest: str = known["digest"]
    return digest
