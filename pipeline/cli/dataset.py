"""What is known of a run's data set before any work: from its files, from what was remembered, or by loading it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.cli.schema import Config
from pipeline.stage import Facts, Json
from pipeline.store import Store
from stages.learning import sources


@dataclass(frozen=True)
class Contents:
    """What is in a data set; known once it has been loaded, which has found nothing wrong.

    Attributes:
        class_names: Of every class, in the order of the ids.
        class_counts: Training examples of each class.
        test: Number of test examples.
        image_shape: Height, width and channels.
    """

    class_names: Sequence[str]
    class_counts: Sequence[int]
    test: int
    image_shape: Sequence[int]


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        kind: Of its source, such as `npz`.
        digest: Stands for its content.
        stamp: What shows that the content is still of this digest.
        root: Folder that its relative paths start from, absolute.
        classes: Number of classes, where it can be told without loading the images.
        contents: What is in it, where it has been loaded.
    """

    kind: str
    digest: str
    stamp: Json
    root: str
    classes: int | None
    contents: Contents | None

    @property
    def facts(self) -> Facts:
        """What the stages' tasks are told of it."""
        names = ("kind", "digest", "stamp", "root", "classes")
        return {name: getattr(self, name) for name in names}

    @property
    def class_names(self) -> Sequence[str] | None:
        """The names of the classes, where they are known."""
        return self.contents.class_names if self.contents else None


def find(config: Config, store: Store, *, load: bool, anew: bool = False) -> DataSet:
    """Return what is known of the data set of a run, from what was remembered while its files stay the same.

    Args:
        config: The run's config.
        store: Where it is remembered.
        load: Whether the data set is loaded, as stage `data` does it, unless it has been before.
        anew: Whether what was seen by loading it does not count: what a function returns may change when its module
            does not.

    Raises:
        LearningError: There is no such data set, or it cannot be downloaded; or it is not what it must be, as was seen
            by loading it.
    """
    source, root = config.data.source, Path(config.data.root).absolute()
    options = sources.Options(config.data.size, config.data.test)
    if config.data.download:
        sources.fetch(source, root)
    name = f"source {source} {root}" + (f" {options}" if options != sources.DEFAULT else "")
    known = store.recall(name)
    if known is None or known["stamp"] != sources.stamp(source, root, options=options):
        identity = sources.identify(source, root, options=options)
        known = {"stamp": identity.stamp, "digest": identity.digest, "classes": identity.classes}
        store.remember(name, known)
    if anew and "contents" in known:
        known = {fact: value for fact, value in known.items() if fact != "contents"}
        store.remember(name, known)
    if load and _remembered(known) is None:
        known = known | {"contents": _contents(source, root, options, known)}
        store.remember(name, known)
    return _data_set(known, source, root)


def _contents(source: str, root: Path, options: sources.Options, known: Mapping[str, Json]) -> Mapping[str, Json]:
    planned = {"options": options, "digest": known["digest"], "stamp": known["stamp"]}
    test = len(sources.load(source, root, "test", **planned).labels)
    train = sources.load(source, root, "train", **planned)
    return {
        "class_names": list(train.class_names),
        "class_counts": _counts(train.labels.tolist(), len(train.class_names)),
        "test": test,
        "image_shape": list(train.images.shape[1:]),
    }


def _remembered(known: Mapping[str, Json]) -> Contents | None:
    kept = known.get("contents", {})
    # Another version of the program may have kept less.
    return Contents(**kept) if kept.keys() == {field.name for field in fields(Contents)} else None


def _counts(labels: Sequence[int], n_classes: int) -> list[int]:
    counted = Counter(labels)
    return [counted[label] for label in range(n_classes)]


def _data_set(known: Mapping[str, Json], source: str, root: Path) -> DataSet:
    contents = _remembered(known)
    classes = known["classes"] if contents is None else len(contents.class_names)
    return DataSet(source.partition(":")[0], known["digest"], known["stamp"], str(root), classes, contents)
