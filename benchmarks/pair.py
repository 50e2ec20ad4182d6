"""One run of large teachers and a small student, in pieces where time is short, beside published figures.

    python -m benchmarks.pair --root FOLDER --folder FOLDER [--seconds 540] [--config FILE] [--set a.b=c ...]

The first folder holds the data set, such as cifar100.npz; in the second one the run keeps what it has made. A run that
is not done after so many seconds is interrupted, and the same command goes on with it: finished tasks are kept, and a
training from its last checkpoint. Then it prints how far it is, and when it is done the table, and writes JSON.

Published, for resnet32x4 and resnet8x4 on CIFAR-100 (240 epochs on all 50,000 training images; accuracy in %): teacher
79.42, student alone 72.50, distilled (KD) 73.33 in Tian, Krishnan, Isola 2020 (arXiv 1910.10699), table 1; decoupled
distillation (DKD) 76.32 in Zhao et al. 2022 (arXiv 2203.08679), table 6.
"""

import argparse
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from ruamel.yaml import YAML

from benchmarks import harness
from pipeline.events import read_events
from pipeline.runs import EVENTS
from pipeline.stage import stage_of

CONFIG = harness.ROOT / "benchmarks" / "configs" / "cifar100_gpu.yaml"
PIECES = "pieces.jsonl"
SAMPLE_SECONDS = 1.0
PUBLISHED = {"teacher": 79.42, "student alone": 72.50, "KD": 73.33, "DKD": 76.32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--name", default="pair")
    options = parser.parse_args()
    overrides = [f"--set=data.root={options.root}", *(f"--set={value}" for value in options.set)]
    options.folder.mkdir(parents=True, exist_ok=True)
    code = _piece(harness.command(options.config, options.folder, *overrides), options.folder, options.seconds)
    _show_tasks(options.folder)
    if code != 0:
        raise SystemExit(f"the run ended with {code}; the same command goes on with it")
    figures = _figures(options.folder) | {"config": options.config.name, "overrides": options.set}
    _show(figures)
    harness.write(options.name, figures)


def _piece(command: list[str], folder: Path, seconds: float) -> int:
    """Run a command for so long at most, and note how long that was and how busy the GPU; returns its exit code."""
    started = time.time()
    with _sampled() as busy, subprocess.Popen(command, cwd=harness.ROOT) as process:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            code = process.wait()
    with (folder / PIECES).open("a") as pieces:
        pieces.write(json.dumps({"started": started, "seconds": time.time() - started, "busy": busy}) + "\n")
    return code


@contextmanager
def _sampled() -> Iterator[list[tuple[float, int]]]:
    """Collect when, and in which share of the last second in percent, the GPU was at work; nothing without one."""
    samples: list[tuple[float, int]] = []
    done = threading.Event()

    def sample() -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not done.wait(SAMPLE_SECONDS):
            with suppress(OSError, ValueError, IndexError):
                shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
                samples.append((time.time(), int(shown.split()[0])))

    thread = threading.Thread(target=sample)
    if torch.cuda.is_available():
        thread.start()
    try:
        yield samples
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()


def _finished(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the event of each finished task, by id."""
    runs = sorted((folder / "runs").iterdir())
    events = [event for run in runs for event in read_events(run / EVENTS)]
    return {event["task"]: event for event in events if event["event"] == "task_finished"}


def _show_tasks(folder: Path) -> None:
    """Print what each stage has taken so far."""
    seconds: dict[str, list[float]] = {}
    for task, event in _finished(folder).items():
        seconds.setdefault(stage_of(task), []).append(event["seconds"])
    for stage, values in seconds.items():
        print(f"{stage}: {len(values)} tasks, {sum(values):.1f} s")


def _figures(folder: Path) -> dict[str, Any]:
    """Return what came of the run, and what it took."""
    results, finished = harness.newest_results(folder), _finished(folder)
    pieces = [json.loads(line) for line in (folder / PIECES).read_text().splitlines()]
    busy = [share for piece in pieces for _, share in piece["busy"]]
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "published": PUBLISHED,
        "seconds": sum(piece["seconds"] for piece in pieces),
        "pieces": len(pieces),
        "gpu_busy_percent": mean(busy) if busy else None,
        "trainings": {
            task: {
                "seconds": event["seconds"],
                "images_per_second": _images(task, folder, results) / event["seconds"],
                "busy_percent": _busy_while(event, pieces),
            }
            for task, event in finished.items()
            if stage_of(task) in {"generalist", "student"}
        },
        "results": {
            name: results[name]
            for name in (
                "data",
                "generalist",
                "specialists",
                "ensemble",
                "students",
                "differences",
                "targets",
                "seconds",
            )
        },
    }


def _images(task: str, folder: Path, results: dict[str, Any]) -> int:
    """Return how many images the training of a generalist or student has shown."""
    stage = stage_of(task)
    config = YAML(typ="safe").load((harness.newest_finished(folder) / "config.yaml").read_text())
    epochs: int = config[stage]["epochs"]
    return epochs * results["data"]["transfer" if stage == "student" else "train"]


def _busy_while(event: dict[str, Any], pieces: list[dict[str, Any]]) -> float | None:
    """Return in which share of a task's time the GPU was at work, in percent."""
    begun = event["time"] - event["seconds"]
    shares = [share for piece in pieces for when, share in piece["busy"] if begun < when <= event["time"]]
    return round(mean(shares), 1) if shares else None


def _show(figures: dict[str, Any]) -> None:
    results = figures["results"]
    students = {f"student, {name}": model for name, model in results["students"].items()}
    rows = [["", "accuracy %", "NLL", "ECE"]]
    for name, model in {"generalist": results["generalist"], "ensemble": results["ensemble"], **students}.items():
        rows.append([name, f"{100 * model['accuracy']:.2f}", f"{model['nll']:.4f}", f"{model['ece']:.4f}"])
    rows += [[f"published: {name}", f"{value:.2f}", "", ""] for name, value in figures["published"].items()]
    harness.print_table(rows)
    for member in results["specialists"]:
        own, general = member["conditional_accuracy"], member["generalist_conditional_accuracy"]
        print(
            f"specialist of {len(member['classes'])}: {100 * own:.2f} %, generalist on the same {100 * general:.2f} %"
        )
    for cover in results["ensemble"]["by_cover"]:
        print(f"covered by {cover['specialists']}: {cover['examples']} examples, {cover['gained']:+d}")
    for name, difference in results["differences"].items():
        low, high = 100 * difference["low"], 100 * difference["high"]
        print(f"distilled minus {name}: {100 * difference['mean']:+.2f} points (95 % {low:+.2f} to {high:+.2f})")
    for task, seen in figures["trainings"].items():
        busy = "" if seen["busy_percent"] is None else f", GPU busy {seen['busy_percent']:.0f} %"
        print(f"{task}: {seen['seconds']:.1f} s, {seen['images_per_second']:,.0f} images/s{busy}")
    print(f"{figures['seconds']:.0f} s in {figures['pieces']} pieces on {figures['device']}")


if __name__ == "__main__":
    main()
