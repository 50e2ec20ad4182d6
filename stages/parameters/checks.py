"""What no section can say of itself: which settings cannot be had together, and which do not fit the data set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import Fault, Location
from stages import manual, tables
from stages.parameters.everything import Parameters

if TYPE_CHECKING:
    from stages.parameters.data import AugmentParameters


def check_together(parameters: Parameters) -> list[Fault]:
    """Return what cannot be had together, whatever the data: location in the config and message of each fault."""
    return [*_without_holdout(parameters), *_with_refit(parameters), *_balanced(parameters)]


def _without_holdout(parameters: Parameters) -> list[Fault]:
    """Return what needs a holdout where there are folds in place of it."""
    if parameters.data.folds is None:
        return []
    named = {name: getattr(parameters, name) for name in ("generalist", "specialists", "student")}
    given = parameters.generalist.given
    nothing = "with data.folds, for nothing is held out"
    needs: list[tuple[Location, bool, str]] = [
        *(
            ((name, "keep"), section.keep == "best", f"be last {nothing} to find the best epoch by; got best")
            for name, section in named.items()
        ),
        (
            ("generalist", "from"),
            given is not None,
            f"be left out with data.folds, whose generalists must be trained as this one is; got {given}",
        ),
        (("combine", "calibrate"), parameters.combine.calibrate, f"be false {nothing} from specialists; got true"),
        (("student", "match_frequencies"), parameters.student.match_frequencies, f"be false {nothing}; got true"),
        (("sweep",), parameters.sweep is not None, f"be left out {nothing} to choose by; got one"),
    ]
    return [(place, f"must {rule}") for place, is_needed, rule in needs if is_needed]


def _with_refit(parameters: Parameters) -> list[Fault]:
    """Return what a refit cannot be had with."""
    if not parameters.refit:
        return []
    transfer = parameters.data.transfer.model_dump(exclude={"augment"}, exclude_defaults=True)
    matches = parameters.student.match_frequencies
    rules: list[tuple[Location, object, str]] = [
        (("refit",), parameters.data.folds, "be false with data.folds, where all examples are trained on already"),
        (("data", "transfer"), transfer, "have augment alone with refit, whose student is trained on all examples"),
        (
            ("targets", "imported"),
            parameters.targets.imported,
            "be left out with refit, whose views have more examples",
        ),
        (("student", "match_frequencies"), matches, "be false with refit, for nothing is held out then"),
    ]
    return [(place, f"must {rule}; got {_shown(got)}") for place, got, rule in rules if got]


def _balanced(parameters: Parameters) -> list[Fault]:
    """Return what a student that is shown all classes equally often cannot be had with."""
    if parameters.student.sampling != "balanced":
        return []
    transfer, place = parameters.data.transfer, ("student", "sampling")
    faults: list[Fault] = []
    if transfer.classes or transfer.omit:
        name = "classes" if transfer.classes else "omit"
        rule = f"be data with data.transfer.{name}, for a class that is left out cannot be shown"
        faults.append((place, f"must {rule}; got balanced; student.match_frequencies may be meant"))
    if parameters.targets.bytes_per_row is not None:
        # What top-k leaves out it spreads evenly: divided by the classes' shares, most would fall to rare classes.
        rule = (
            "be data with targets.bytes_per_row, for soft targets of which a part is kept cannot be divided by shares"
        )
        faults.append((place, f"must {rule}; got balanced"))
    return faults


def _shown(got: Any) -> str:
    return ", ".join(got) if isinstance(got, tuple | dict) else "true"


def check_classes(parameters: Parameters, classes: int, names: Sequence[str] | None = None) -> list[Fault]:
    """Check what cannot be checked before the number of classes is known.

    Args:
        parameters: The parameters.
        classes: Number of classes of the data set.
        names: Their names, where they are known.

    Returns:
        Location in the config and message of every fault.
    """
    faults: list[Fault] = []
    count, size = parameters.specialists.count, parameters.specialists.size
    if classes < 3:
        rule = "have 3 classes or more, for a specialist needs 2 and must leave one out"
        faults.append((("data", "source"), f"must {rule}; got {classes}"))
    elif listed := parameters.specialists.listed:
        places = list(listed)
        found = manual.faults_of(list(listed.values()), classes, names)
        faults += [((*places[subset], *member), message) for (subset, *member), message in found]
    else:
        if count is not None and count > classes // 2:
            rule = f"be at most {classes // 2}, so that each has 2 of the {classes} classes"
            hint = "list more with specialists.method manual"
            faults.append((("specialists", "count"), f"must {rule}; got {count}; {hint}"))
        if size is not None and size >= classes:
            rule = f"be less than {classes}, the number of classes"
            faults.append((("specialists", "size"), f"must {rule}; got {size}"))
    rule = f"must be at most {classes}, the number of classes"
    tried = (parameters.sweep and parameters.sweep.active_classes) or ()
    active_places = [("combine", "active_classes"), *(("sweep", "active_classes", i) for i in range(len(tried)))]
    for place, active in zip(active_places, (parameters.combine.active_classes, *tried), strict=True):
        if active > classes:
            faults.append((place, f"{rule}; got {active}"))
    return faults + _transfer_faults(parameters, classes, names) + _encoding_faults(parameters, classes)


def check_unfit_subsets(values: Any, classes: int, names: Sequence[str] | None = None) -> list[Fault]:
    """Check the classes of listed subsets that do not fit otherwise, so that all that is wrong is told at once.

    Args:
        values: What a config has for specialists.subsets, whatever it is.
        classes: Number of classes of the data set.
        names: Their names, where they are known.

    Returns:
        Location in the config and message of every fault.
    """
    listed = {
        i: subset
        for i, subset in enumerate(values if isinstance(values, list) else ())
        if isinstance(subset, list) and all(type(member) in {int, str} for member in subset)
    }
    places, found = list(listed), manual.faults_of(list(listed.values()), classes, names)
    return [(("specialists", "subsets", places[subset], *member), message) for (subset, *member), message in found]


def check_images(parameters: Parameters, image_shape: Sequence[int]) -> list[Fault]:
    """Check what cannot be checked before the size of the images is known. A rotation leaves something of each.

    Args:
        parameters: The parameters.
        image_shape: Height, width and channels of the images.

    Returns:
        Location in the config and message of every fault.
    """
    side = min(image_shape[:2])
    rule = f"must be less than the images' smaller side, {side}, or nothing may be left of one"
    places: list[tuple[Location, AugmentParameters | None]] = [
        (("data", "augment"), parameters.data.augment),
        (("data", "transfer", "augment"), parameters.data.transfer.augment),
    ]
    return [
        ((*place, name), f"{rule}; got {amount}")
        for place, augment in places
        if augment is not None
        for name, amount in (("shift", augment.shift), ("cutout", augment.cutout))
        if amount >= side
    ]


def _transfer_faults(parameters: Parameters, classes: int, names: Sequence[str] | None) -> list[Fault]:
    """Return what is wrong with the classes that the transfer set is to have."""
    faults: list[Fault] = []
    for name in ("classes", "omit"):
        listed, place = getattr(parameters.data.transfer, name) or (), ("data", "transfer", name)
        found = list(manual.faults_of_classes(listed, classes, names))
        if name == "omit" and len(listed) >= classes and not found:
            found = [((), f"must leave one of the {classes} classes or more; got {len(listed)} of them")]
        faults += [((*place, *where), message) for where, message in found]
    return faults


def _encoding_faults(parameters: Parameters, classes: int) -> list[Fault]:
    """Return what is wrong with how the combined table is to be kept."""
    budget = parameters.targets.bytes_per_row
    k = None if budget is None else tables.top_k_within(budget, classes)
    if k is None:
        return []
    faults: list[Fault] = []
    if k < 1:
        least = min(tables.row_bytes(classes), tables.row_bytes(classes, 1))
        faults.append((("targets", "bytes_per_row"), f"must be at least {least} with {classes} classes; got {budget}"))
    rule = "must be at least 1 where targets.bytes_per_row does not keep every class"
    tried = (parameters.sweep and parameters.sweep.temperature) or ()
    places = [("student", "temperature"), *(("sweep", "temperature", i) for i in range(len(tried)))]
    for place, temperature in zip(places, (parameters.student.temperature, *tried), strict=True):
        if temperature < 1:
            faults.append((place, f"{rule}; got {temperature}"))
    return faults
