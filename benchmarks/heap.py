"""What it is worth to keep freed memory for a task's next step: training and scoring on one CPU core.

    python -m benchmarks.heap [--width 32] [--rounds 3]

Each measurement is a new process, for what glibc is told holds for a whole one; with and without take turns. Compared
is the processor's time, which others on the machine disturb less, and the weights and logits, which must be equal.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from statistics import median
from typing import Any

import torch
from torch.nn import functional

from benchmarks import harness
from pipeline import heap
from stages.learning import training
from stages.learning.models import build
from stages.learning.prediction import forward_logits, predict_logits
from stages.learning.settings import Precision
from stages.learning.views import normalise

CLASSES, SIZE, BATCH, STEPS, SCORED = 100, (32, 32), 128, 20, 4096
MEAN, STD = [0.5] * 3, [0.25] * 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=("kept", "freed"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measured(options.width, is_kept=options.measure == "kept")))
        return
    seen = [{how: _in_process(how, options.width) for how in ("freed", "kept")} for _ in range(options.rounds)]
    digests = {found["digest"] for one in seen for found in one.values()}
    if len(digests) != 1:
        raise SystemExit(f"weights and logits must be equal with and without; got {len(digests)} kinds")
    rows = [["processor seconds", "freed", "kept", "ratio"]]
    figures: dict[str, Any] = {"width": options.width}
    for what in ("fp32 training", "bf16 training", "scoring"):
        freed, kept = (median(one[how][what] for one in seen) for how in ("freed", "kept"))
        ratio = median(one["freed"][what] / one["kept"][what] for one in seen)
        figures[what] = {"freed": freed, "kept": kept, "ratio": ratio}
        rows.append([what, f"{freed:.2f}", f"{kept:.2f}", f"{ratio:.2f}"])
    harness.print_table(rows)
    harness.write("heap", figures)


def _in_process(how: str, width: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.heap", "--measure", how, "--width", str(width)]
    done = subprocess.run(command, cwd=harness.ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measured(width: int, *, is_kept: bool) -> dict[str, Any]:
    """Return the processor's seconds of each kind of work, and the digest of what came out."""
    training.use_threads(1)
    with heap.kept() if is_kept else nullcontext():
        model = build("cnn", classes=CLASSES, channels=3, image_size=SIZE, width=width)
        model.to(memory_format=torch.channels_last)
        images = torch.randint(0, 256, (SCORED, *SIZE, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
        seconds = {f"{precision} training": _train(model, images, precision) for precision in ("fp32", "bf16")}
        predict_logits(model, images[:1024], mean=MEAN, std=STD)
        started = os.times()
        logits = predict_logits(model, images, mean=MEAN, std=STD)
        seconds["scoring"] = _since(started)
    # As bytes: what is equal to the last bit is equal.
    digest = hashlib.sha256(logits.numpy().tobytes())
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return seconds | {"digest": digest.hexdigest()}


def _train(model: torch.nn.Module, images: torch.Tensor, precision: Precision) -> float:
    """Return the processor's seconds of a training, after one step that does not count."""
    labels = torch.arange(BATCH) % CLASSES
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    shown = normalise(images[:BATCH], MEAN, STD)

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(forward_logits(model, shown, precision), labels).backward()
        optimiser.step()

    model.train()
    step()
    started = os.times()
    for _ in range(STEPS):
        step()
    return _since(started)


def _since(started: os.times_result) -> float:
    now = os.times()
    return now.user + now.system - started.user - started.system


if __name__ == "__main__":
    main()
