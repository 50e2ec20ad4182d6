"""Does one task of those that `test_resume` has prepared: `python train_one.py JOB`, a pickled job."""

import pickle
import sys
import time
from pathlib import Path

from pipeline.worker import perform

PAUSED_AT = 10
"""Epochs, in which a busy machine may be slow to kill it: it waits there, so that it cannot end before."""


def pause(facts):
    if facts.get("epoch") == PAUSED_AT:
        time.sleep(60)


if __name__ == "__main__":
    outcome = perform(pickle.loads(Path(sys.argv[1]).read_bytes()), pause)
    sys.exit(outcome.fault or None)
