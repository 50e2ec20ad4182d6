"""Stage `views`: how the examples of the transfer set are augmented, as explicit numbers that everybody replays."""

from pipeline.errors import StageError
from pipeline.stage import Artifact, Work
from stages.data import transfer_rows
from stages.learning import views
from stages.parameters import AugmentParameters


def draw(*, dataset: Artifact, augment: AugmentParameters, view: int, work: Work) -> Artifact:
    """Draw one view.

    Args:
        dataset: The training half of the data set.
        augment: What is drawn, and within which bounds.
        view: Its number.
        work: Its seed.

    Returns:
        Array `examples` int64 (rows,), the example ids in canonical order, and one int8 (rows,) for each parameter of
        the augmentation. Facts: `view` and `rows`.

    Raises:
        StageError: A shift could leave nothing of an image.
    """
    side = min(dataset.arrays["images"].shape[1:3])
    if augment.shift >= side:
        raise StageError(f"augment.shift must be less than the image's smaller side, {side}; got {augment.shift}")
    examples = transfer_rows(dataset)
    drawn = views.draw(examples, seed=work.seed, view=view, shift=augment.shift, flip=augment.flip)
    return Artifact({"examples": examples, **drawn}, {"view": view, "rows": len(examples)})
