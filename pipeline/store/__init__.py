"""Where results are kept: immutable objects and manifests that list what a recipe made.

    store.json              the format
    objects/ab/abcd...      bytes, named by their SHA-256
    manifests/ab/abcd....json   what a recipe made; published last, and alone means "done"
    runs/NAME.json          the keys of what a finished run made or reused
    claims/NAME.json        the keys of what a run in progress has made or reused so far
    checkpoints/            what trainings in progress have come to, named by recipe, position and SHA-256
    memory/                 facts about the outside that are cheap to find out again
    aside/                  what was damaged or discarded, each with a note that says why
    temporary/              what is being written

Nothing is ever replaced in place, except in memory/ and claims/. What does not match its digest is set aside, reported
by name, and made again.
"""

from pipeline.store.hold import Hold
from pipeline.store.manifest import KeptObject, Manifest
from pipeline.store.records import Run
from pipeline.store.store import Store
from pipeline.store.verify import Fault, verify

__all__ = ["Fault", "Hold", "KeptObject", "Manifest", "Run", "Store", "verify"]
