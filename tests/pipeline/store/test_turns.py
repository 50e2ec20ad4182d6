import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from pipeline.store.turns import turn
from tests.waiting import PATIENCE

HOLD = """
import sys, time
from pathlib import Path
from pipeline.store.turns import turn
with turn(Path(sys.argv[1]), "ab"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_turn_is_waited_for_until_its_process_dies_and_others_are_not(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "turns")], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    steps = []

    def take():
        with turn(tmp_path / "turns", "ab"):
            steps.append("taken")

    waiting = threading.Thread(target=take)
    waiting.start()
    with turn(tmp_path / "turns", "cd"):
        time.sleep(0.2)
        steps.append("killed")
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    waiting.join(timeout=PATIENCE)
    assert steps == ["killed", "taken"]


def test_where_no_turn_can_be_taken_nobody_waits(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with turn(tmp_path / "file", "ab"), turn(tmp_path / "file", "ab"):
        assert (tmp_path / "file").read_text() == "no folder"
