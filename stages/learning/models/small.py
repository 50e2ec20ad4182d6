"""Networks for small images and small machines."""

from torch import nn

from stages.learning.models.network import Network, Options, Task


def cnn(task: Task, options: Options) -> Network:
    """Return three stages of convolution, batch norm and ReLU, then the mean over the image."""
    width = options.width or 32
    # Without it the mean over a large image is of features that see 18 of its pixels.
    stride = 2 if min(task.height, task.width) > 48 else 1
    side = min(task.height, task.width) // stride
    layers: list[nn.Module] = []
    for n_in, n_out, step in (
        (task.channels, width, stride),
        (width, 2 * width, 1),
        (2 * width, 4 * width, 1),
    ):
        layers += [
            nn.Conv2d(n_in, n_out, 3, stride=step, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        ]
        if side >= 8:  # what is left of the smallest images is no less than 4 x 4
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return Network(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4 * width, task.classes)


def mlp(task: Task, options: Options) -> Network:
    """Return hidden layers with ReLU and dropout, two unless they are listed.

    With `hidden` [1200, 1200], `dropout` 0.5 and `input_dropout` 0.2 it is the teacher of Hinton et al. 2015, section
    3.
    """
    hidden = options.hidden or (options.width or 32,) * 2
    # Where nothing drops out, the places stay: kept networks have the first layer's weights as features.1, the second's
    # as features.4.
    flat: nn.Module = nn.Flatten()
    if options.input_dropout:
        flat = nn.Sequential(flat, nn.Dropout(options.input_dropout))
    layers = [flat]
    n_in = task.channels * task.height * task.width
    for n_out in hidden:
        drop = nn.Dropout(options.dropout) if options.dropout else nn.Identity()
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), drop]
        n_in = n_out
    return Network(nn.Sequential(*layers), n_in, task.classes)
