from pipeline.cli.changes import told

HARD = ["hard", {}]
DIGESTS = ("0123456789ab" + 52 * "0", "ba9876543210" + 52 * "f")


def sweep(*temperatures: float, others: tuple[list[object], ...] = (HARD,)) -> dict[str, object]:
    tried = [["distilled", {"temperature": value, "alpha": 0.9}] for value in temperatures]
    return {"sweep.measure": "accuracy", "candidates": [*tried, *others]}


def test_sweep_is_told_as_it_is_written() -> None:
    assert told(sweep(2.0, 4.0), sweep(2.0, 4.0, 8.0)) == ["sweep.temperature [2, 4] -> [2, 4, 8]"]
    assert told(sweep(2), sweep(2, others=())) == ["controls ['hard'] -> []"]


def test_file_is_told_by_the_key_that_names_it() -> None:
    model = {"generalist": {"model": {"name": "cnn"}}}
    before, now = ({**model, "generalist.model.content": digest} for digest in DIGESTS)
    assert told(before, now) == ["generalist.model.weights: another file"]
    assert told(model, now) == ["generalist.model.weights (none) -> 'ba9876543210'"]


def test_other_data_are_told_as_the_source() -> None:
    before, now = ({"data.digest": digest, "data.kind": "npz"} for digest in DIGESTS)
    assert told(before, now) == ["data.source: other data"]


def test_module_of_a_network_is_told_as_the_network() -> None:
    model = {"student": {"model": {"name": "python:mine:small"}}}
    before, now = ({**model, "student.model.content": digest} for digest in DIGESTS)
    assert told(before, now) == ["student.model: another file"]
    made = [{"student.model": model["student"]["model"], **one} for one in (before, now)]
    assert told(*({name: one[name] for name in one if name != "student"} for one in made)) == told(before, now)


def test_other_parameters_are_told_as_they_are() -> None:
    assert told({"student": {"epochs": 20}}, {"student": {"epochs": 30}}) == ["student.epochs 20 -> 30"]
