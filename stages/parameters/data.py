"""The data set, what is made of it, and its augmentations."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.errors import did_you_mean
from stages.learning import source_names
from stages.parameters.fields import Members, Section


def _source(value: str) -> str:
    """Return a source of the right shape; whether it exists is seen when it is read."""
    source_names.parse(value)
    return value


Source = Annotated[
    str,
    AfterValidator(_source),
    Field(
        description="The data set: sklearn:NAME, torchvision:NAME, folder:PATH (train/ and test/ with a folder for "
        "each class, or those alone), npz:PATH (x_train, y_train, x_test, y_test) or python:MODULE:FACTORY."
    ),
]
GIB = 2**30
"""Bytes of the unit that amounts of memory are given in."""
MEMORY_BUDGET = 4.0
"""GiB that a training may take for its data, unless the config says otherwise."""
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "digits": {"shift": 2, "rotate": 10},
    "grey": {"shift": 2, "flip": True, "cutout": 8},
    "colour": {"shift": 4, "padding": "reflect", "flip": True},
}
"""Augmentations by name, for images of 28 to 40 pixels: signs that must not be mirrored, grey and colour images."""


class AugmentParameters(Section):
    """How the views of an example differ from it: it is mirrored, rotated, shifted, and then cut.

    A name may stand for the whole section: none, digits, grey or colour.
    """

    # The amounts of a view are stored as int8 and int16.
    shift: int = Field(
        default=0,
        ge=0,
        le=127,
        description="Largest shift in each direction, in pixels: a random crop of the image padded by as many.",
    )
    padding: Literal["zeros", "reflect"] = Field(
        default="zeros", description="What shifts and rotations move in: black, or the image mirrored at its border."
    )
    flip: bool = Field(default=False, description="Whether half of the views are mirrored left to right.")
    rotate: int = Field(
        default=0, ge=0, le=180, description="Largest rotation in each direction, in degrees; bilinear."
    )
    cutout: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Side of a black square, in pixels, whose centre is drawn from all pixels; 0 for none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, values: Any) -> Any:
        """Return what a name stands for."""
        if not isinstance(values, str):
            return values
        if values not in AUGMENTATIONS:
            known, hint = ", ".join(AUGMENTATIONS), did_you_mean(values, AUGMENTATIONS)
            raise ValueError(f"must be one of {known}, or a section of its own; got '{values}'{hint}")
        return AUGMENTATIONS[values]

    @property
    def changes_nothing(self) -> bool:
        """Whether all views show the images as they are."""
        return not (self.shift or self.flip or self.rotate or self.cutout)


class TransferParameters(Section):
    """The transfer set: what the students are trained on of the training examples that are not held out.

    The teachers are trained on all of these.
    """

    classes: Members | None = Field(default=None, description="Whose examples, by id or name; null for all classes.")
    omit: Members | None = Field(default=None, description="Whose examples are left out, by id or name.")
    fraction: float = Field(default=1.0, gt=0, le=1, description="Share of each class's examples, one at least.")
    augment: AugmentParameters | None = Field(
        default=None,
        description="How the views are drawn, where not as data.augment says, with which the teachers are trained: in "
        "words of its own, or by a name, of which none shows the students the images as they are.",
    )

    @field_validator("omit")
    @classmethod
    def _one_of_two(cls, omit: Any, info: ValidationInfo) -> Any:
        """Return what is left out where nothing else says what is not."""
        if omit is not None and info.data.get("classes") is not None:
            raise ValueError(f"must be left out where data.transfer.classes is given; got {list(omit)}")
        return omit

    @property
    def is_everything(self) -> bool:
        """Whether the transfer set is the whole training part without the holdout."""
        return self.classes is None and self.omit is None and self.fraction == 1


class DataParameters(Section):
    """The data set and what is made of it."""

    source: Source
    root: str = Field(
        default="data", min_length=1, description="Folder that a relative PATH starts from, and of torchvision's files."
    )
    download: bool = Field(
        default=False, description="With a source of torchvision: whether missing files are downloaded, by any command."
    )
    size: int | None = Field(
        default=None,
        ge=1,
        le=8192,
        description="With a source of folder: height and width that images are brought to (the largest centred square, "
        "bilinear). Null takes them as they are, all of one size.",
    )
    test: float | None = Field(
        default=None,
        gt=0,
        le=0.5,
        description="With a source of folder that has no train/ and test/: the share of each class that makes the test "
        "split, chosen by file name.",
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        le=20,
        description="In place of a holdout, number of parts that the training examples are dealt out to. So many more "
        "generalists are trained, each on all parts but one; what is confused is measured by what each says of that "
        "one. Teachers and students are trained on everything, and nothing is left to judge or to choose by: keep "
        "best, a sweep, calibrate, match_frequencies and generalist.from need a holdout.",
    )
    holdout: float = Field(
        default=0.15,
        ge=0,
        le=0.5,
        validate_default=True,
        description="Share of each class's training examples that no teacher or student is trained on; "
        "what the generalist confuses is measured there. With folds it is 0, and only then.",
    )
    transfer: TransferParameters = TransferParameters()
    memory_budget: float = Field(
        default=MEMORY_BUDGET,
        ge=0,
        le=65_536,
        description="GiB that one training may take on its device for images and soft targets. What is larger is read "
        "from the store batch by batch, with the same results.",
    )
    views: int = Field(
        default=4,
        ge=1,
        le=10_000,
        description="Fixed augmentations of each example; epoch e shows e mod views. Where an "
        "augmentation changes nothing, there is one.",
    )
    augment: AugmentParameters = AugmentParameters()

    @property
    def view_augment(self) -> AugmentParameters:
        """How the views are drawn."""
        return self.augment if self.transfer.augment is None else self.transfer.augment

    @property
    def n_views(self) -> int:
        """The number of views, of which no two would be the same."""
        return 1 if self.view_augment.changes_nothing else self.views

    @model_validator(mode="before")
    @classmethod
    def _nothing_held_out_with_folds(cls, values: Any) -> Any:
        """Hold nothing out where there are folds, unless something else is said."""
        return {"holdout": 0.0} | values if isinstance(values, dict) and values.get("folds") is not None else values

    @field_validator("holdout")
    @classmethod
    def _holdout_or_folds(cls, holdout: float, info: ValidationInfo) -> float:
        """Return the holdout where there is one or folds, and not both."""
        if "folds" not in info.data:  # which has a fault of its own
            return holdout
        folds = info.data["folds"]
        if folds is None and not holdout:
            raise ValueError("must be greater than 0, or data.folds be given; got 0")
        if folds is not None and holdout:
            raise ValueError(f"must be 0 or left out with data.folds; got {holdout:g}")
        return holdout

    @field_validator("download", "size", "test")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Return a value that the kind of source has a use for."""
        kind = "torchvision" if info.field_name == "download" else "folder"
        source = info.data.get("source")
        if value and source is not None and not source.startswith(f"{kind}:"):
            raise ValueError(f"must be given only with a source of {kind}; got {value} with {source}")
        return value
