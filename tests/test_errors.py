"""What words errors says the same in the pipeline and in learning, neither of which may import the other."""

import pytest

from pipeline import errors
from stages.learning import errors as of_learning


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("\n one\ntwo"), "one"),
        (RuntimeError(" "), "RuntimeError"),
        (KeyError("weight"), "KeyError: 'weight'"),
        (KeyError(), "KeyError"),
        (FileNotFoundError(2, "No such file", "a"), "[Errno 2] No such file: 'a'"),
    ],
)
def test_first_line_of_an_error_is_told_alike(error: Exception, told: str) -> None:
    assert errors.first_line(error) == of_learning.first_line(error) == told


KEYS = ("alpha", "batch_size", "epochs", "learning_rate", "model", "name", "seed", "temperature", "weight_decay")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("epoch", "epochs"),
        ("temperatur", "temperature"),
        ("learning_rat", "learning_rate"),
        ("batchsize", "batch_size"),
        ("alfa", "alpha"),
        ("naem", "name"),
        ("sede", "seed"),
        ("soft_weight", None),
        ("weights", None),
        ("zzz", None),
    ],
)
def test_what_may_be_meant_is_told_alike(word: str, meant: str | None) -> None:
    hint = f"; did you mean '{meant}'?" if meant else ""
    assert errors.did_you_mean(word, KEYS) == of_learning.did_you_mean(word, iter(KEYS)) == hint


FILES = ("sweep.yaml", "tab.yaml", "mynets.py", "new.npz", "long.pt", "images", "set.npz", "set.yaml", "part.yml")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sweeep.yaml", "sweep.yaml"),
        ("sweep.yml", "sweep.yaml"),
        ("set.npy", "set.npz"),
        ("sat.npz", "set.npz"),
        ("imgs", "images"),
        ("part.yaml", "part.yml"),
        ("nope.yaml", None),
        ("raw.yaml", None),
        ("nope.npz", None),
        ("nope.pt", None),
        ("mynet.npz", None),
        ("zzz", None),
    ],
)
def test_which_file_may_be_meant_is_told_alike(name: str, meant: str | None) -> None:
    hint = f"; did you mean '{meant}'?" if meant else ""
    assert errors.file_meant(name, FILES) == of_learning.file_meant(name, iter(FILES)) == hint
