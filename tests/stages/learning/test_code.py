import pytest

from stages.learning.code import module_file
from stages.learning.errors import LearningError


def test_module_that_is_not_there_is_told_with_each_folder_once(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LearningError, match="module nowhere must be one that Python can import; got none in") as told:
        module_file("nowhere")
    assert str(told.value).count(f"{tmp_path},") == 1
