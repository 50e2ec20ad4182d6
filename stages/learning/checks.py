"""What the arrays of a data set must be: every fault is found, and said in one line that names the array."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.learning.errors import LearningError, did_you_mean

AnyArray = NDArray[Any]

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("class_names",)
CHANNELS = (1, 3)

MAX_LISTED = 20
"""Faults that a message lists: a folder may have a million images."""


def missing(names: Sequence[str], halves: Sequence[str] = ("train", "test")) -> list[str]:
    """Return a fault for each array of the halves that is not among the names."""
    lacking = [name for name in REQUIRED if name[2:] in halves and name not in names]
    return [
        f"{name} must be there; got {_shown(sorted(names)) or 'none'}{_array_meant(name, names)}" for name in lacking
    ]


def _array_meant(lacking: str, names: Sequence[str]) -> str:
    """Return which array is likely the one that is lacking: of the test half, one that others call validation."""
    kind, half = lacking.split("_")
    others = [f"{kind}_{name}" for name in ("val", "valid", "validation", "eval", "dev")] if half == "test" else []
    found = [name for name in others if name in names]
    spare = [name for name in names if name not in REQUIRED + OPTIONAL]
    return f"; did you mean '{found[0]}'?" if found else did_you_mean(lacking, spare)


def faults_of(arrays: Mapping[str, AnyArray]) -> list[str]:
    """Return all faults of the arrays of a data set, each as one line.

    Args:
        arrays: By name. What can be said without the missing ones, which `missing` reports, is said.
    """
    faults: list[str] = []
    for name in REQUIRED:
        if name in arrays:
            check = _image_faults if name.startswith("x") else _label_faults
            faults += check(name, arrays[name])
    faults += [*_name_faults(arrays), *_count_faults(arrays), *_shape_faults(arrays)]
    return faults + _class_faults(arrays)


def half_faults(arrays: Mapping[str, AnyArray], half: str) -> list[str]:
    """Return all faults of one half as examples to measure a trained network on, which may lack classes.

    Args:
        arrays: By name, those of the half among them.
        half: `train` or `test`.
    """
    images, labels = f"x_{half}", f"y_{half}"
    own = {name: arrays[name] for name in (images, labels, *OPTIONAL) if name in arrays}
    names = _name_faults(own)
    faults = [*_image_faults(images, own[images]), *_label_faults(labels, own[labels]), *names, *_count_faults(own)]
    if "class_names" in own and not names and is_labels(own[labels]):
        faults += _range_faults(labels, own[labels], len(own["class_names"]))
    return faults


def report(source: str, faults: Sequence[str]) -> None:
    """Raise a LearningError that lists the faults of a data set, if there are any: the first, and how many more."""
    if faults:
        more = [f"and {len(faults) - MAX_LISTED} more faults"] if len(faults) > MAX_LISTED else []
        listed = [*faults[:MAX_LISTED], *more]
        raise LearningError("\n  ".join([f"{source} must be a data set of images and labels:", *listed]))


def is_labels(labels: AnyArray) -> bool:
    """Return whether an array can be labels: integers, one an example, at least one."""
    return labels.dtype.kind in "iu" and labels.ndim == 1 and labels.size > 0


def is_countable(arrays: Mapping[str, AnyArray]) -> bool:
    """Return whether there are labels to count classes by, or class names, and these only such that can be names."""
    has_labels = "y_train" in arrays and is_labels(arrays["y_train"])
    return (has_labels or ("class_names" in arrays and "y_train" not in arrays)) and not _name_faults(arrays)


def count_classes(arrays: Mapping[str, AnyArray]) -> int:
    """Return the number of classes: of names where there are any, else one more than the largest label."""
    return len(arrays["class_names"]) if "class_names" in arrays else int(arrays["y_train"].max()) + 1


def _image_faults(name: str, images: AnyArray) -> list[str]:
    if images.dtype == object:
        return [f"{name} must be one array of numbers; got objects, as images of several shapes make them"]
    faults = [] if images.dtype == np.uint8 else [_dtype_fault(name, images)]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in CHANNELS):
        first = images.ndim == 4 and images.shape[1] in CHANNELS
        hint = f"; did you mean {name}.transpose(0, 2, 3, 1)?" if first else ""
        rule = "have the shape (n, height, width) or (n, height, width, 1 or 3)"
        faults.append(f"{name} must {rule}; got {images.shape}{hint}")
    elif images.size == 0:
        faults.append(f"{name} must hold at least one example; got the shape {images.shape}")
    return faults


def _dtype_fault(name: str, images: AnyArray) -> str:
    text = f"{name} must be uint8; got {images.dtype}"
    if images.dtype.kind != "f":
        return text
    n_nan = int(np.isnan(images).sum())
    nan = f" with {n_nan} NaN" if n_nan else ""
    return f"{text}{nan}; values from 0 to 1 are to be multiplied by 255 and rounded"


def _label_faults(name: str, labels: AnyArray) -> list[str]:
    faults: list[str] = []
    if labels.dtype.kind not in "iu":
        faults.append(f"{name} must be integers, one an example; got {labels.dtype}{_integers_meant(name, labels)}")
    if labels.ndim != 1:
        hint = ""
        if labels.ndim == 2:
            hint = f"; did you mean {name}.{'ravel()' if labels.shape[1] == 1 else 'argmax(axis=1)'}?"
        faults.append(f"{name} must have the shape (n,); got {labels.shape}{hint}")
    elif labels.size == 0:
        faults.append(f"{name} must hold at least one label; got none")
    return faults


def _integers_meant(name: str, labels: AnyArray) -> str:
    """Return how labels that are no integers become some."""
    if labels.dtype.kind == "f" and bool(np.all(labels == np.floor(labels))):
        return f"; did you mean {name}.astype(int)?"
    if labels.dtype.kind in "US":
        return ": number the classes from 0, and put their names, in that order, into class_names"
    return ": number the classes from 0"


def _name_faults(arrays: Mapping[str, AnyArray]) -> list[str]:
    if "class_names" not in arrays:
        return []
    names = arrays["class_names"]
    if names.ndim != 1 or names.dtype.kind != "U":
        return [f"class_names must be text of the shape (classes,); got {names.dtype} {names.shape}"]
    repeated = sorted({str(name) for name in names if (names == name).sum() > 1})
    return [f"class_names must differ; got {_shown(repeated)} more than once"] if repeated else []


def _count_faults(arrays: Mapping[str, AnyArray]) -> list[str]:
    counts = {name: array.shape[0] for name, array in arrays.items() if array.ndim > 0}
    return [
        f"{labels} must hold one label for each of the {counts[images]} images; got {counts[labels]}"
        for images, labels in (("x_train", "y_train"), ("x_test", "y_test"))
        if images in counts and labels in counts and counts[images] != counts[labels]
    ]


def _shape_faults(arrays: Mapping[str, AnyArray]) -> list[str]:
    shapes = [arrays[name].shape[1:] for name in ("x_train", "x_test") if name in arrays]
    if len(shapes) < 2 or shapes[0] == shapes[1]:
        return []
    return [f"x_test must hold images of the shape of x_train's, {shapes[0]}; got {shapes[1]}"]


def _class_faults(arrays: Mapping[str, AnyArray]) -> list[str]:
    """Return the faults of labels as classes, where they are labels at all."""
    if not is_countable(arrays):
        return []
    n_classes = count_classes(arrays)
    faults: list[str] = []
    for name in ("y_train", "y_test"):
        if name in arrays and is_labels(arrays[name]):
            faults += _range_faults(name, arrays[name], n_classes)
    return faults + (_example_faults(arrays["y_train"], n_classes) if "y_train" in arrays else [])


def _range_faults(name: str, labels: AnyArray, n_classes: int) -> list[str]:
    strange = np.unique(labels[(labels < 0) | (labels >= n_classes)])
    return [f"{name} must be from 0 to {n_classes - 1}; got {_shown(strange)}"] if len(strange) else []


def _example_faults(labels: AnyArray, n_classes: int) -> list[str]:
    classes, counts = np.unique(labels[(labels >= 0) & (labels < n_classes)], return_counts=True)
    if len(classes) < 2:
        return [f"y_train must hold at least 2 classes; got {len(classes)}"]
    faults: list[str] = []
    if len(classes) < n_classes:
        # A label such as 10**9 makes as many classes: look for absent ones only as far as they are shown.
        absent = np.setdiff1d(np.arange(min(n_classes, len(classes) + 6)), classes)
        rule = f"hold examples of every class from 0 to {n_classes - 1}"
        text = _shown(absent, n_classes - len(classes))
        faults.append(f"y_train must {rule}; got none of {text}")
    if (counts == 1).any():
        rule = "hold at least 2 examples of a class, so that one can be held out"
        faults.append(f"y_train must {rule}; got 1 of {_shown(classes[counts == 1])}")
    return faults


def _shown(values: Sequence[object] | AnyArray, n_values: int | None = None) -> str:
    """Return the first values as text, and how many more there are."""
    n_more = (len(values) if n_values is None else n_values) - 5
    text = ", ".join(str(value) for value in values[:5])
    return f"{text} and {n_more} more" if n_more > 0 else text
