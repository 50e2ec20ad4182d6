"""The arrays of results, by name."""

import inspect

from stages import contents


def test_arrays_are_called_by_the_names_that_readers_know() -> None:
    assert contents.half(images=1, labels=2) == {"images": 1, "labels": 2}
    assert contents.half(images=1, labels=2, holdout=3, folds=4) == {
        "images": 1, "labels": 2, "holdout": 3, "fold": 4,
    }  # fmt: skip
    assert contents.confusion(probs=1, labels=2, class_means=3) == {"probs": 1, "labels": 2, "confusion": 3}


def test_no_argument_hides_a_function_of_the_module() -> None:
    functions = dict(inspect.getmembers(contents, inspect.isfunction))
    hidden = {name: functions.keys() & inspect.signature(one).parameters for name, one in functions.items()}
    assert len(hidden) > 5
    assert not any(hidden.values()), hidden
