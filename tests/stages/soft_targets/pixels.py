"""A stage that tells which pixels are seen where it runs."""

import hashlib
import sys

from pipeline.stage import Artifact, Stage
from stages.shown import Pixels, replayed_view
from stages.soft_targets import SoftTargets

STAGE = Stage("pixels", "tests.stages.soft_targets.pixels:look", "tests.stages.soft_targets.pixels:none")


def digest(pixels):
    return hashlib.sha256(pixels.numpy(force=True).tobytes()).hexdigest()


def look(*, dataset, view, work):
    """Tell the digest of a whole view, as every teacher and every student is shown it."""
    rows = range(view.facts["rows"])
    return Artifact(facts={"sha256": digest(Pixels.of(dataset).seen(*replayed_view(view, rows)))})


if __name__ == "__main__":
    targets = SoftTargets.open(sys.argv[1], "tiny:generalist")
    print(digest(targets.pixels(range(240, 480))))
