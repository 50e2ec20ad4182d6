import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from pipeline.executor.remote import Letter, Mailbox, perform_with_letters
from tests.pipeline.executor.test_local import facts, job
from tests.waiting import PATIENCE, wait_until

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(240)
"""
CHILD = """
import time
from pipeline.executor.remote import end_with_parent
end_with_parent()
end_with_parent()
print("watching", flush=True)
time.sleep(240)
"""


def is_over(process: psutil.Process) -> bool:
    """Return whether a process has ended, perhaps but for its number."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_letters_are_given_out_once() -> None:
    mailbox = Mailbox()
    mailbox.post(("a", 1, {"epoch": 1}))
    mailbox.post(("b", 2, {"epoch": 3}))
    assert mailbox.take() == [("a", 1, {"epoch": 1}), ("b", 2, {"epoch": 3})]
    assert mailbox.take() == []


def test_first_letter_says_where_a_job_is_done(tmp_path: Path) -> None:
    letters: list[Letter] = []
    outcome = perform_with_letters(job(tmp_path, "tell", "hello", "a"), 2, letters.append, "node-1")
    assert facts(tmp_path, outcome) == {"message": "hello"}
    assert letters == [
        ("ordered[a]", 2, {"state": "running", "node": "node-1"}),
        ("ordered[a]", 2, {"message": "hello", "threads": 1}),
    ]


def test_worker_ends_when_the_process_that_started_it_was_killed() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "watching\n"
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=PATIENCE)
    wait_until(lambda: is_over(child), "the worker must end")
