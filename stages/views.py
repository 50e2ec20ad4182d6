"""Stage `views`: how the examples of the transfer set are augmented, as explicit numbers that everybody replays."""

from pipeline.errors import StageError
from pipeline.stage import Artifact, Work
from stages.data import training_rows
from stages.learning import views
from stages.parameters import AugmentParameters


def draw(
    *, dataset: Artifact, augment: AugmentParameters, view: int, transfer: Artifact | None = None, work: Work
) -> Artifact:
    """Draw one view.

    Args:
        dataset: The training half of the data set.
        augment: What is drawn, and within which bounds.
        view: Its number.
        transfer: The transfer set, where it is not the whole training part without the holdout.
        work: Its seed.

    Returns:
        Array `examples` int64 (rows,), the example ids in canonical order, and those that `learning.views.draw`
        returns, one for each parameter of the augmentation. Facts: `view` and `rows`.

    Raises:
        StageError: A shift or a cut could leave nothing of an image; lists both faults.
    """
    height, width = dataset.arrays["images"].shape[1:3]
    faults = [
        f"augment.{name} must be less than the image's smaller side, {min(height, width)}; got {amount}"
        for name, amount in (("shift", augment.shift), ("cutout", augment.cutout))
        if amount >= min(height, width)
    ]
    if faults:
        raise StageError("\n".join(faults))
    examples = transfer.arrays["examples"] if transfer else training_rows(dataset)
    drawn = views.draw(examples, seed=work.seed, view=view, image_size=(height, width), **augment.model_dump())
    return Artifact({"examples": examples, **drawn}, {"view": view, "rows": len(examples)})
