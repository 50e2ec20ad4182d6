"""The last layer of a network: a specialist has the generalist's but for that."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.learning.errors import LearningError, first_line
from stages.learning.models.arrays import as_tensor

_WHOSE = "that specialists start from, or whose logits are shifted,"
_SUM_TOLERANCE = 1e-3
"""How far from 1 a row of probabilities may sum to, such as one that was computed in half precision."""


def find_head(model: nn.Module) -> str | None:
    """Return the name of a network's last layer: what timm says is its classifier, else the last linear layer.

    Returns:
        None where there is none, or it is not linear.
    """
    get_classifier: Any = getattr(model, "get_classifier", None)
    classifier = get_classifier() if get_classifier else None
    head: str | None = None
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and (get_classifier is None or module is classifier):
            head = name
    return head


def last_layer(model: nn.Module) -> str | None:
    """Return the name of the layer that depends on the classes: as `find_head`, or a last convolution of 1 x 1 pixel.

    Returns:
        None where the last layer with weights is neither.
    """
    layers = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    last = model.get_submodule(layers[-1]) if layers else None
    is_point = isinstance(last, nn.Conv2d) and last.kernel_size == (1, 1)
    return find_head(model) or (layers[-1] if is_point else None)


def head_of(model: nn.Module) -> str:
    """Return the name of a network's last layer, as `find_head` does.

    Raises:
        LearningError: There is none.
    """
    head = find_head(model)
    if head is None:
        raise LearningError(f"network {_WHOSE} must end in one linear layer; got none in {type(model).__name__}")
    return head


def head_weights(model: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> tuple[str, Tensor, Tensor]:
    """Return name, weight and bias of the last layer of a network.

    Args:
        model: The network.
        arrays: Its weights, as `state_to_arrays` returns them.

    Returns:
        The name, the weight (classes, features) and the bias (classes,).

    Raises:
        LearningError: There is no such layer, or it has no bias.
    """
    name = head_of(model)
    if f"{name}.bias" not in arrays:
        raise LearningError(f"last layer of a network {_WHOSE} must have a bias; got none in {name}")
    return name, as_tensor(arrays[f"{name}.weight"]), as_tensor(arrays[f"{name}.bias"])


def shift_logits(model: nn.Module, shifts: NDArray[np.float64]) -> None:
    """Add a constant to each logit of a network, in the bias of its last layer.

    Args:
        model: Changed in place.
        shifts: One for each class, (classes,).

    Raises:
        LearningError: Its last layer is not linear, or has no bias for each class.
    """
    head = model.get_submodule(head_of(model))
    bias = head.bias
    if not isinstance(bias, nn.Parameter) or bias.shape != shifts.shape:
        rule = "have a bias for each class"
        raise LearningError(f"last layer of a network whose logits are shifted must {rule}; got none in {head}")
    with torch.no_grad():
        bias.add_(torch.from_numpy(shifts).to(bias))


def check(model: nn.Module, images: Tensor, classes: int) -> None:
    """Try a network in training and evaluation: whether it takes the images and returns logits.

    Args:
        model: The network; its statistics change.
        images: Normalised, float32 (2 or more, channels, height, width).
        classes: Number of outputs.

    Raises:
        LearningError: It does not; says why.
    """
    for training in (True, False):
        model.train(training)
        logits = _tried(model, images)
        got = f"{logits.dtype} {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        wanted = f"torch.float32 {(len(images), classes)}"
        if got != wanted:
            raise LearningError(f"network must return logits, {wanted}; got {got}")
        if _are_probs(logits):
            hint = "leave the softmax at its end out"
            raise LearningError(f"network must return logits; got probabilities, rows that sum to 1; {hint}")


def _are_probs(logits: Tensor) -> bool:
    """Whether every row is a distribution, which the logits of a network that is not made so never are by chance."""
    return bool((logits >= 0).all() and ((logits.sum(dim=1) - 1).abs() < _SUM_TOLERANCE).all())


def check_head(model: nn.Module, images: Tensor) -> None:
    """Check that the last layer of a network makes its logits, so that a specialist can have another.

    Args:
        model: The network, in evaluation.
        images: Normalised, float32 (batch, channels, height, width).

    Raises:
        LearningError: It does not.
    """
    made: list[Tensor] = []
    head = head_of(model)
    hook = model.get_submodule(head).register_forward_hook(lambda _, __, output: made.append(output))
    logits = _tried(model, images)
    hook.remove()
    if not made or not torch.equal(made[-1], logits):
        raise LearningError(f"last linear layer of a network must make its logits; {head} does not")


def _tried(model: nn.Module, images: Tensor) -> Any:
    try:
        with torch.no_grad():
            return model(images)
    except Exception as error:  # whatever a user's network raises is a fault of that network
        reason = first_line(error)
        size = f"{images.shape[2]} x {images.shape[3]} pixels and {images.shape[1]} channels"
        raise LearningError(f"network must take two images of {size}; got: {reason}") from error
