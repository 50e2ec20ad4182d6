"""Residual networks for small images, as the distillation literature compares them.

Sources: He, Zhang, Ren, Sun 2016 (arXiv 1512.03385), section 4.2, and Zagoruyko, Komodakis 2016 (arXiv 1605.07146);
widths and projections as in Tian, Krishnan, Isola 2020 (arXiv 1910.10699), whose tables name resnet8x4 and wrn-40-2.
"""

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from stages.learning.models.network import Network, Task


class Block(nn.Module):
    """Two convolutions beside a shortcut, which is a projection where the shape changes; ReLU after the sum.

    Args:
        n_in: Channels of the input.
        n_out: Channels of the output.
        stride: Of the first convolution.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv3(n_in, n_out, stride),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            _conv3(n_out, n_out),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, n_out, height / stride, width / stride)."""
        return cast("Tensor", self.body(images) + self.shortcut(images)).relu()


class WideBlock(nn.Module):
    """Two convolutions, each after batch norm and ReLU, beside a shortcut.

    Where the number of channels changes, the shortcut is a projection of the normalised input.

    Args:
        n_in: Channels of the input.
        n_out: Channels of the output.
        stride: Of the first convolution.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(n_in), nn.ReLU())
        self.body = nn.Sequential(_conv3(n_in, n_out, stride), nn.BatchNorm2d(n_out), nn.ReLU(), _conv3(n_out, n_out))
        self.project = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if n_in != n_out else None

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, n_out, height / stride, width / stride)."""
        active = self.before(images)
        shortcut = self.project(active) if self.project is not None else images
        return cast("Tensor", self.body(active) + shortcut)


def resnet(task: Task, depth: int, widen: int) -> Network:
    """Return a ResNet of three stages of (depth - 2) / 6 blocks.

    Args:
        task: What it is for.
        depth: Of its weights, 2 more than a multiple of 6.
        widen: Multiplies the channels of the stages, 16, 32 and 64; above 1 the stem has 32 channels.
    """
    stem = 16 if widen == 1 else 32
    features = nn.Sequential(
        _conv3(task.channels, stem),
        nn.BatchNorm2d(stem),
        nn.ReLU(),
        *_stages(Block, (stem, 16 * widen, 32 * widen, 64 * widen), (depth - 2) // 6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return _initialised(Network(features, 64 * widen, task.classes))


def wide_resnet(task: Task, depth: int, width: int) -> Network:
    """Return a wide ResNet of three stages of (depth - 4) / 6 blocks.

    Args:
        task: What it is for.
        depth: Of its weights, 4 more than a multiple of 6.
        width: Multiplies the channels of the stages, 16, 32 and 64.
    """
    features = nn.Sequential(
        _conv3(task.channels, 16),
        *_stages(WideBlock, (16, 16 * width, 32 * width, 64 * width), (depth - 4) // 6),
        nn.BatchNorm2d(64 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return _initialised(Network(features, 64 * width, task.classes))


def _stages(block: type[Block] | type[WideBlock], channels: tuple[int, ...], n_blocks: int) -> list[nn.Module]:
    """Return one module a stage; the second and the third begin by halving the image."""
    stages: list[nn.Module] = []
    for number, (n_in, n_out) in enumerate(pairwise(channels)):
        first = block(n_in, n_out, 1 if number == 0 else 2)
        stages.append(nn.Sequential(first, *(block(n_out, n_out, 1) for _ in range(n_blocks - 1))))
    return stages


def _conv3(n_in: int, n_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)


def _initialised(network: Network) -> Network:
    """Draw the convolutions' weights as He et al. 2015 do, by the number of outputs."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
