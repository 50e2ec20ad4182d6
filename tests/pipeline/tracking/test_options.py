from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from pipeline.tracking import LoggingOptions, MlflowOptions, missing_extras

ALL = LoggingOptions(tensorboard=True, mlflow=MlflowOptions(uri="http://127.0.0.1:5000"))


def test_nothing_is_missing_where_nothing_is_asked_for() -> None:
    assert missing_extras(LoggingOptions(), find=lambda name: None) == []


def test_missing_extras_are_all_told_with_what_installs_them() -> None:
    folder = SimpleNamespace(origin=None)  # as of a folder that happens to be named so
    faults = missing_extras(ALL, find={"mlflow": folder}.get)
    assert faults == [
        (
            ("logging", name),
            f"must have {name} installed; got none: pip install 'specialist-distillation[{name}]'",
        )
        for name in ("tensorboard", "mlflow")
    ]


def test_installed_extras_are_not_missing() -> None:
    assert missing_extras(ALL, find=lambda name: SimpleNamespace(origin="there.py")) == []


@pytest.mark.parametrize("who", ["me:secret", "secret", ":secret"])
def test_a_user_or_password_is_refused_and_not_repeated(who: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MlflowOptions(uri=f"https://{who}@example.org")
    (detail,) = caught.value.errors()
    assert "must hold no user or password" in detail["msg"]
    assert "secret" not in detail["msg"]
    assert MlflowOptions(uri="https://example.org").uri == "https://example.org"
