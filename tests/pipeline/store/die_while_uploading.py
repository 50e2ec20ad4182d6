"""Begin to upload a big object again and again, killed at another moment of it each time; print how often.

Usage: die_while_uploading.py ADDRESS
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import time

from pipeline.store import Store


def upload(location, begun):
    files = Store.open(location).files

    def chunks():
        yield bytes(64 << 20)
        begun.set()

    files.publish(chunks(), lambda digest: f"objects/{digest[:2]}/{digest}")


if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    importlib.import_module("s3fs")
    killed = 0
    # Hashing the bytes takes some 0.1 s of it, sending them the rest.
    for delay in (0.1, 0.2):
        begun = fork.Event()
        process = fork.Process(target=upload, args=(sys.argv[1], begun))
        process.start()
        begun.wait()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    print(json.dumps({"killed": killed}))
