"""Does one task of those that `test_resume` has prepared: `python train_one.py JOB`, a pickled job."""

import pickle
import sys
from pathlib import Path

from pipeline.worker import perform

if __name__ == "__main__":
    outcome = perform(pickle.loads(Path(sys.argv[1]).read_bytes()), lambda facts: None)
    sys.exit(outcome.fault or None)
