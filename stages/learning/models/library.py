"""Networks of torchvision, of timm, and of a function of the user's; each library is imported only here, and late."""

from typing import Any

from torch import nn

from stages.learning import code
from stages.learning.errors import LearningError, first_line
from stages.learning.models.network import Task

IMAGE_CHANNELS = 3
"""What torchvision's networks take unless their first convolution is replaced."""


def torchvision(name: str, task: Task) -> nn.Module:
    """Return one of torchvision's classification models, its first convolution made for the channels of the images."""
    from torchvision import models  # noqa: PLC0415  # two seconds of import

    # inception_v3 and googlenet would return more than logits in training.
    options: dict[str, Any] = (
        {"aux_logits": False, "init_weights": True} if name in {"googlenet", "inception_v3"} else {}
    )
    if name.startswith("vit_"):
        options["image_size"] = task.height
    if name.startswith("maxvit"):
        options["input_size"] = (task.height, task.width)
    model: nn.Module = models.get_model(name, weights=None, num_classes=task.classes, **options)
    if task.channels != IMAGE_CHANNELS:
        _replace_stem(model, task.channels)
    return model


def timm(name: str, task: Task) -> nn.Module:
    """Return one of timm's models; those that are made for one size of image are made for this one."""
    import timm as library  # noqa: PLC0415  # seconds of import, and not always installed

    options: dict[str, Any] = {"num_classes": task.classes, "in_chans": task.channels}
    try:
        return library.create_model(name, pretrained=False, img_size=(task.height, task.width), **options)
    except TypeError:  # made for any size, so that it takes none
        return library.create_model(name, pretrained=False, **options)


def factory(name: str, task: Task) -> nn.Module:
    """Return what a function makes of `classes`, `channels` and `image_size` (height, width).

    Raises:
        LearningError: There is no such function, it raises something, or it returns no torch module.
    """
    module, _, function = name.partition(":")
    image_size = (task.height, task.width)
    make = code.function(module, function)
    try:
        made = make(classes=task.classes, channels=task.channels, image_size=image_size)
    except Exception as error:  # whatever a user's function raises is a fault of that function, told by its name
        raise LearningError(_unmade("python", name, task, error)) from error
    if not isinstance(made, nn.Module):
        raise LearningError(f"{name} must return a torch module; got {type(made).__name__}")
    return made


def made(origin: str, name: str, task: Task) -> nn.Module:
    """Return a network of a library, or of a function.

    Args:
        origin: `torchvision`, `timm` or `python`.
        name: What it is called there.
        task: What it is for.

    Raises:
        LearningError: It cannot be made for this task; says why.
    """
    try:
        return {"torchvision": torchvision, "timm": timm, "python": factory}[origin](name, task)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        if isinstance(error, LearningError):
            raise
        raise LearningError(_unmade(origin, name, task, error)) from error


def _unmade(origin: str, name: str, task: Task, error: Exception) -> str:
    rule = f"be made for {task.classes} classes and images of {task.height} x {task.width} x {task.channels}"
    return f"model {origin}:{name} must {rule}; got: {first_line(error)}"


def stem_of(model: nn.Module) -> str:
    """Return the name of the convolution that sees the image, the first there is; empty where there is none."""
    return next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), "")


def _replace_stem(model: nn.Module, channels: int) -> None:
    name = stem_of(model)
    stem = model.get_submodule(name)
    assert isinstance(stem, nn.Conv2d)  # noqa: S101  # what stem_of looks for
    options: dict[str, Any] = {
        option: getattr(stem, option) for option in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    model.set_submodule(name, nn.Conv2d(channels, stem.out_channels, bias=stem.bias is not None, **options))
