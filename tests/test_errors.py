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


@pytest.mark.parametrize(("word", "hint"), [("epoch", "; did you mean 'epochs'?"), ("zzz", "")])
def test_what_may_be_meant_is_told_alike(word: str, hint: str) -> None:
    known = ("batch_size", "epochs")
    assert errors.did_you_mean(word, known) == of_learning.did_you_mean(word, iter(known)) == hint
