"""Somebody's files, right and wrong."""

import importlib

import numpy as np
import pytest

from pipeline.errors import ConfigError
from stages.imported import files
from tests.stages.imported.conftest import drawn


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_every_kind_are_read(write, dtype, order):
    logits = np.asarray(drawn(7, 3), dtype=dtype, order=order)
    (path,) = write(logits=logits)
    with files.opened(path) as rows:
        assert rows.shape == (7, 3)
        assert rows.meaning == "logits"
        assert np.array_equal(rows.block(slice(2, 4)), logits[2:4])
        assert np.array_equal(rows.gathered(np.array([5, 0])), logits[[5, 0]])
        assert rows.block(slice(0, 1)).dtype == (np.float64 if logits.itemsize == 8 else np.float32)


def test_blocks_are_all_rows_a_few_at_a_time(write):
    (path,) = write(logits=np.zeros((1000, 3000), dtype=np.float16))
    with files.opened(path) as rows:
        blocks = list(rows.blocks())
        assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
        assert (blocks[0].start, blocks[-1].stop) == (0, 1000)
        assert max(block.stop - block.start for block in blocks) * 3000 * 8 <= 8 * 2**20


def test_rows_from_all_over_the_file_are_gathered(write):
    numbers = np.arange(3_000_000, dtype=np.float64).reshape(1000, 3000)
    (path,) = write(logits=numbers)
    chosen = np.random.default_rng(0).permutation(1000)[:700]
    with files.opened(path) as rows:
        assert np.array_equal(rows.gathered(chosen), numbers[chosen])


def test_all_faults_of_the_files_are_told(write, tmp_path):
    logits, examples, views = write(
        logits=np.zeros((3, 2), dtype=int), examples=np.zeros(3), views=np.zeros((3, 1), int)
    )
    with pytest.raises(ConfigError) as error, files.opened(logits, examples=examples, views=views):
        pass
    assert str(error.value).splitlines() == [
        f"{logits}: must hold float16, float32 or float64 (rows, columns); got int64 (3, 2)",
        f"{examples}: must hold integers (rows,); got float64 (3,)",
        f"{views}: must hold integers (rows,); got int64 (3, 1)",
    ]


def test_ids_must_be_as_many_as_rows(write):
    logits, examples, views = write(logits=drawn(4), examples=np.arange(3), views=np.zeros(5, int))
    with pytest.raises(ConfigError) as error, files.opened(logits, examples=examples, views=views):
        pass
    assert str(error.value).splitlines() == [
        f"{examples}: must have a number for each of the 4 rows; got 3",
        f"{views}: must have a number for each of the 4 rows; got 5",
    ]


def test_what_is_no_file_of_arrays_is_told(tmp_path):
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "empty.npy").touch()
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name, told in (
        (
            "text.npy",
            r"must be an .npy file that numpy.save wrote, with float16.* \(rows, columns\); got .* b'not an'$",
        ),
        ("empty.npy", "must be an .npy file that numpy.save wrote, with .*; got an empty file$"),
        ("pickled.npy", "must be an .npy file that numpy.save wrote, with .*; got .* holds Python objects$"),
        ("none.npy", "must be an .npy file; got: No such file or directory"),
        ("two.npz", r"must hold .*; got an archive of arrays"),
    ):
        with pytest.raises(ConfigError, match=told), files.opened(tmp_path / name):
            pass


def test_cut_file_is_told(write):
    (path,) = write(logits=drawn(50))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=r"must be an \.npy file .*; got one that was cut short"), files.opened(path):
        pass


def test_parquet_without_pyarrow_says_what_to_install(tmp_path):
    def load(name):
        raise ImportError(name)

    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="pip install pyarrow"), files.opened(tmp_path / "a.parquet", load=load):
        pass


@pytest.fixture
def parquet(tmp_path):
    """Write columns as Parquet."""
    pytest.importorskip("pyarrow.parquet")
    arrow, writer = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")

    def parquet(**columns):
        writer.write_table(arrow.table(columns), tmp_path / "rows.parquet")
        return tmp_path / "rows.parquet"

    return parquet


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parquet_is_read_as_its_columns_say(parquet, dtype):
    logits = drawn(40, dtype=dtype)
    path = parquet(log_probs=list(logits), example=np.arange(40)[::-1], view=np.ones(40, dtype=np.int8))
    with files.opened(path) as rows:
        assert rows.meaning == "log-probs"
        assert np.array_equal(rows.block(slice(0, 40)), logits)
        assert rows.block(slice(0, 1)).dtype == dtype
        assert rows.examples.tolist() == list(range(40))[::-1]
        assert rows.views.tolist() == [1] * 40
        copy = rows.numbers
    assert not copy.exists()


def test_parquet_in_several_batches_is_whole(parquet):
    logits = drawn(300, 5000)
    with files.opened(parquet(logits=list(logits), example=np.arange(300))) as rows:
        assert np.array_equal(rows.block(slice(0, 300)), logits)
        assert rows.views is None


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"example": [0], "logit": [[1.0]]}, "must have one column named logits or log_probs or probs; got none among"),
        ({"example": [0], "logits": [[1.0]], "probs": [[1.0]]}, "must have one column .*; got logits, probs among"),
        ({"example": [0], "logits": [1.0]}, "logits must be a column of lists of floats; got double"),
        ({"example": [0.5], "logits": [[1.0]]}, "example must be a column of integers; got double"),
        ({"examples": [0], "logits": [[1.0]]}, "must have a column example; got .*; did you mean 'examples'"),
        ({"example": [0, 1], "logits": [[1.0], [1.0, 2.0]]}, "a list of the same length in every row; got: "),
        ({"example": [0, 1], "logits": [[1.0], None]}, "logits is missing in 1 rows"),
        ({"example": [0, None], "logits": [[1.0], [1.0]]}, "example is missing in 1 rows"),
    ],
)
def test_parquet_of_another_kind_is_refused(parquet, columns, told):
    with pytest.raises(ConfigError, match=told), files.opened(parquet(**columns)):
        pass


def test_parquet_says_itself_what_options_would(parquet, write):
    (examples,) = write(examples=np.arange(3))
    path = parquet(example=[0], logits=[[1.0]])
    told = pytest.raises(ConfigError, match="must come without --values, --examples")
    with told, files.opened(path, "probs", examples=examples):
        pass
