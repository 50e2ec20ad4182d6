"""What a killed run leaves: kill -9 at random moments, then a plain run, compared with one that nobody disturbed.

    python -m benchmarks.kills [--times 10] [--seed 0]

Each time a new store, a kill of the driver at a moment drawn over the whole of a run, and the same command again. Equal
must be every accuracy and NLL, and the content of every result, weights and tables included.
"""

import argparse
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import harness
from pipeline.store import Store, verify

CONFIG = harness.ROOT / "pipeline.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        expected = harness.outcome(harness.run(CONFIG, Path(folder)), Path(folder))
        whole = time.perf_counter() - started
    print(f"undisturbed: {whole:.1f} s, {len(expected['contents'])} results")
    trials = [_trial(draw.uniform(0, whole), expected) for _ in range(options.times)]
    n_equal = sum(trial["equal"] for trial in trials)
    print(f"{n_equal} of {len(trials)} equal the undisturbed run")
    harness.write("kills", {"seed": options.seed, "undisturbed_seconds": round(whole, 1), "trials": trials})


def _trial(moment: float, expected: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(harness.command(CONFIG, Path(folder)), cwd=harness.ROOT, stdout=subprocess.DEVNULL)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        faults = verify(Store.open(str(Path(folder) / "store")))
        results = harness.run(CONFIG, Path(folder))
        outcome = harness.outcome(results, Path(folder))
    trial = {
        "killed_after_seconds": round(moment, 1),
        "faults_in_the_store": len(faults),
        "reused": len(results["reused"]),
        "equal": outcome == expected,
    }
    print(trial)
    return trial


if __name__ == "__main__":
    main()
