"""The names of networks, as far as they can be checked without importing torch or the library that has them.

cnn, mlp, resnet20, wrn-16-2 ...    networks of this project
torchvision:NAME                    one of torchvision's classification models
timm:NAME                           one of timm's, where it is installed
python:MODULE:FACTORY               a function that returns a torch module
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from stages.learning.errors import did_you_mean
from stages.learning.source_names import is_function

RESNETS = {
    **{f"resnet{depth}": (depth, 1) for depth in (8, 14, 20, 32, 44, 56, 110)},
    **{f"resnet{depth}x4": (depth, 4) for depth in (8, 32)},
}
"""The ResNets of CIFAR: their depth, and by how much they are wider than He et al. made them."""

WIDE_RESNETS = {
    f"wrn-{depth}-{width}": (depth, width)
    for depth, width in ((16, 1), (16, 2), (28, 2), (28, 10), (40, 1), (40, 2), (40, 4))
}
"""Wide ResNets: depth and width."""

OWN = ("cnn", "mlp", *RESNETS, *WIDE_RESNETS)
LIBRARIES = ("torchvision", "timm")
_REGISTERED = re.compile(r"@register_model\b.*?^def (\w+)\(", re.DOTALL | re.MULTILINE)


def parse(name: str) -> tuple[str, str]:
    """Return where a network comes from (`own`, `torchvision`, `timm` or `python`) and its name there.

    Args:
        name: As the config has it.

    Raises:
        ValueError: There is no such network, or its library is not installed.
    """
    origin, colon, inner = name.partition(":")
    if not colon:
        if name not in OWN and (library := next((one for one in LIBRARIES if name in registered(one)), None)):
            raise ValueError(f"must begin with the library that has it; got '{name}'; did you mean '{library}:{name}'?")
        _check_listed(name, OWN, f"{', '.join(OWN)}, torchvision:NAME, timm:NAME or python:MODULE:FACTORY")
        return "own", name
    if origin == "python":
        if not is_function(inner):
            raise ValueError(f"must be python:MODULE:FACTORY, such as python:my.nets:make; got '{name}'")
        return origin, inner
    if origin not in LIBRARIES:
        origins = (*LIBRARIES, "python")
        raise ValueError(
            f"must begin with one of {', '.join(origins)} before a colon; got '{name}'{did_you_mean(origin, origins)}"
        )
    known = registered(origin)
    if not known:
        raise ValueError(f"must be of a library that is installed; got '{name}' without {origin}: pip install {origin}")
    _check_listed(inner, known, f"{origin}'s {len(known)} classification models")
    return origin, inner


def library_of(name: str) -> tuple[str, ...]:
    """Return the library that makes a network, as `packages` of a task; none of this project's and the user's own.

    Args:
        name: As `parse` takes it.
    """
    origin = name.partition(":")[0]
    return (origin,) if origin in LIBRARIES and ":" in name else ()


@cache
def registered(library: str) -> Sequence[str]:
    """Return the models that a library registers, read from its source: importing it would take seconds.

    Args:
        library: Name of its package, which has a folder `models`.

    Returns:
        Their names, in order; none where the library is not installed.
    """
    spec = find_spec(library)
    if spec is None or spec.origin is None:
        return ()
    files = (Path(spec.origin).parent / "models").glob("*.py")
    return sorted({name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))})


def _check_listed(name: str, known: Sequence[str], rule: str) -> None:
    if name not in known:
        raise ValueError(f"must be one of {rule}; got '{name}'{did_you_mean(name, known)}")
