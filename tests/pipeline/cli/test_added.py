"""By which settings a run has other tasks than the last one; most cases change two at a time."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.added import CHOSEN, SUBSETS, Compared, compared, differences, with_value
from pipeline.cli.schema import Config
from pipeline.config_source import read
from pipeline.planner import Differing
from pipeline.stage import Facts
from stages import STAGES
from stages.parameters import Parameters
from tests.stages.tasks.listing import KNOWN, listed, with_changes

Changes = dict[str, Any]


def values_of(parameters: Parameters) -> dict[str, Any]:
    """Return parameters as the config of a run has them."""
    return parameters.model_dump(mode="json", by_alias=True)


def both(before: Changes, now: Changes, known: dict[str, Facts] = KNOWN) -> Compared:
    found = compared(with_changes(**now), values_of(with_changes(**before)), known)
    assert found is not None
    return found


def added(stage: str, before: Changes, now: Changes, known: dict[str, Facts] = KNOWN) -> dict[str, Differing]:
    """Return what is told of each task of a stage that there was not."""
    comparison, there = both(before, now, known), listed(stage, known, **before)
    new = (task for name, task in listed(stage, known, **now).items() if name not in there)
    return {task.id: comparison.differing(task, "", 0) for task in new}


def causes(stage: str, before: Changes, now: Changes, known: dict[str, Facts] = KNOWN) -> dict[str, list[str]]:
    return {name: list(found.causes) for name, found in added(stage, before, now, known).items()}


SEEDS = "seeds [0] -> [0, 1]"
SWEEP = "sweep null -> {temperature: [2.0, 4.0], measure: 'accuracy'}"


def test_a_control_taken_away_makes_no_new_student() -> None:
    before, now = {"controls": ["hard", "generalist"]}, {"controls": ["hard"], "sweep": {"temperature": [2, 8]}}
    sweep = SWEEP.replace("4.0", "8.0")
    assert causes("student", before, now) == {
        "student[distilled/temperature=2]": [sweep],
        "student[distilled/temperature=8]": [sweep],
    }


def test_controls_are_told_of_a_new_variant_alone_and_seeds_of_a_new_seed() -> None:
    now = {"controls": ["hard", "generalist"], "seeds": [0, 1]}
    controls = "controls ['hard'] -> ['hard', 'generalist']"
    assert causes("student", {"controls": ["hard"]}, now) == {
        "student[distilled/0]": [],
        "student[distilled/1]": [SEEDS],
        "student[hard/0]": [],
        "student[hard/1]": [SEEDS],
        "student[generalist/0]": [controls],
        "student[generalist/1]": [controls, SEEDS],
    }
    fewer = causes("student", {"controls": ["hard", "generalist"]}, {"controls": ["hard"], "seeds": [0, 1]})
    assert fewer == {"student[distilled/0]": [], "student[distilled/1]": [SEEDS], "student[hard/0]": [],
                     "student[hard/1]": [SEEDS]}  # fmt: skip


def test_a_student_that_has_another_name_now_is_told_with_its_former_one() -> None:
    now = {"seeds": [0, 1], "student": {"epochs": 7}, "controls": ["hard"]}
    found = added("student", {"controls": ["hard"]}, now)
    assert found["student[distilled/0]"] == Differing(same_as="student[distilled]")
    assert found["student[hard/1]"].same_as == ""
    tried = {"sweep": {"temperature": [2, 4]}, "student": {"epochs": 7}}
    found = added("student", {"controls": []}, tried | {"controls": []})
    assert found["student[distilled/temperature=4]"].same_as == "student[distilled]"  # which is at 4 by default
    assert found["student[distilled/temperature=2]"] == Differing((SWEEP,))


def test_augmentation_is_told_where_it_decides() -> None:
    still, views = {"data__augment": {}, "data__views": 1}, "data.views 1 -> 2"
    moved = {"data__augment": {"shift": 2}, "data__views": 2}
    shift = "data.augment.shift 0 -> 2"
    assert causes("views", still, moved) == {"views[1]": [views, shift]}  # one view without either
    assert causes("views", still | {"data__augment": {"shift": 1}}, moved) == {"views[1]": [views]}
    assert causes("views", still | {"data__views": 2}, moved) == {"views[1]": [shift]}
    found = causes("targets", still | {"specialists__count": 3}, moved | {"specialists__count": 2})
    assert found["targets[generalist/1.0]"] == found["targets[0-1/1.0]"] == [views, shift]


def test_the_number_of_subsets_is_told_of_no_generalist_and_claimed_of_no_subset() -> None:
    before, now = {"specialists__count": 2}, {"specialists__count": 1, "combine__calibrate": True}
    calibrate, count = "combine.calibrate false -> true", "specialists.count 2 -> 1"
    assert added("calibration", before, now)["calibration[generalist]"] == Differing((calibrate,))
    fewer, new = (
        {"specialists__count": 1, "student__epochs": 3},
        KNOWN | {"subsets": {"subsets": [{"classes": [1, 4]}]}},
    )
    for stage in ("specialist", "targets"):
        task = next(task for name, task in listed(stage, new).items() if "[1-4" in name)
        assert both(before, fewer, new).differing(task, "", 0) == Differing((), (count,))
    generalist = listed("targets")["targets[generalist/0.0]"]
    assert both(before, fewer).differing(generalist, "", 0) == Differing()  # it was there


def test_a_subset_that_is_listed_is_there_for_the_list() -> None:
    new = KNOWN | {"subsets": {"subsets": [{"classes": [0, 1]}, {"classes": [2, 5]}]}}
    by_hand = {"specialists__method": "manual", "specialists__subsets": [["a", "b"], [2, "g"]]}
    task = listed("specialist", new, **by_hand)["specialist[2-5]"]
    for before, line in (
        (
            {"specialists__method": "manual", "specialists__subsets": [["a", "b"]]},
            "[['a', 'b']] -> [['a', 'b'], [2, 'g']]",
        ),
        ({"specialists__count": 3}, "null -> [['a', 'b'], [2, 'g']]"),
    ):
        comparison = both(before | {"specialists__epochs": 3}, by_hand, new)
        assert comparison.differing(task, "", 0) == Differing((f"specialists.subsets {line}",))


def test_a_refit_has_no_controls_to_be_told_of() -> None:
    now = {"refit": True, "controls": ["hard", "generalist"], "seeds": [0, 1], "combine__calibrate": True}
    before = {"controls": ["hard"]}
    refit = "refit false -> true"
    assert causes("refit-student", before, now) == {
        "refit-student[distilled/0]": [refit],
        "refit-student[distilled/1]": [SEEDS, refit],
    }
    assert set(map(tuple, causes("refit-targets", before, now).values())) == {(refit,)}


def test_what_a_table_is_called_and_whether_it_is_there_is_told_by_its_name() -> None:
    now = {"targets__imported": ["clip"], "data__views": 5}
    assert causes("import", {}, now) == {"import[clip]": ["targets.imported [] -> ['clip']"]}
    found = causes("imported", {}, now)
    assert found["imported[clip/0.0]"] == ["targets.imported [] -> ['clip']"]
    assert found["imported[clip/4.0]"] == ["data.views 4 -> 5", "targets.imported [] -> ['clip']"]
    other = both({"targets__imported": ["gone"]}, now).differing(listed("import", **now)["import[clip]"], "", 0)
    assert other == Differing(("targets.imported ['gone'] -> ['clip']",))


def test_what_depends_on_a_transfer_set_of_another_time_is_not_claimed() -> None:
    known = KNOWN | {"transfer": {"rows": 24}}
    before, now = {"data__transfer": {"fraction": 0.5}}, {"data__transfer": {"fraction": 0.1}, "data__views": 5}
    views, fraction = "data.views 4 -> 5", "data.transfer.fraction {} -> 0.1"
    assert added("targets", {}, now, known)["targets[generalist/4.0]"] == Differing((views,))
    assert causes("transfer", {}, now, known) == {"transfer": [fraction.format(1.0)]}
    task = listed("targets", known, **now)["targets[generalist/4.0]"]
    assert both(before, now, known).differing(task, "", 0) == Differing((views,), (fraction.format(0.5),))


def test_more_or_fewer_inputs_are_told_by_what_decides_their_number() -> None:
    def told(stage: str, argument: str, n_before: int, before: Changes, now: Changes) -> Differing:
        (task, *_) = listed(stage, **now).values()
        return both(before, now).differing(task, argument, n_before)

    views = {"data__views": 5, "specialists__count": 4}
    assert told("student", "views", 4, {}, views) == Differing(("data.views 4 -> 5",))
    assert told("student", "views", 3, {}, views) == Differing()  # of an older run
    calibrated = {"combine__calibrate": True, "specialists__epochs": 4}
    assert told("combined", "calibrations", 0, {}, calibrated) == Differing(("combine.calibrate false -> true",))
    assert told("combined", "calibrations", 3, calibrated, {}) == Differing(("combine.calibrate true -> false",))
    fewer = {"specialists__count": 2, "data__views": 5}
    assert told("combined", "specialists", 3, {"specialists__count": 3}, fewer) == Differing(
        (), ("specialists.count 3 -> 2",)
    )
    more = {"controls": ["hard"], "seeds": [0, 1]}
    controls = "controls [] -> ['hard']"
    assert told("evaluate", "students", 1, {"controls": []}, more) == Differing((controls, SEEDS))
    tried = {"controls": ["hard"], "sweep": {"temperature": [2, 4]}}
    known = KNOWN | {"sweep": {"chosen": {"distilled": {"temperature": 2}, "hard": {}}}}
    (task,) = listed("evaluate", known, **tried).values()
    assert both({"controls": []}, tried, known).differing(task, "students", 1) == Differing((controls,))


PAIRS: list[tuple[Changes, Changes]] = [
    ({"controls": []}, {"controls": ["generalist", "hard"]}),
    ({"seeds": [1]}, {"seeds": [1, 2, 3]}),
    ({"data__views": 1}, {"data__views": 2}),
    ({"data__augment": {"flip": True}}, {"data__augment": {"flip": False}}),
    ({"combine__calibrate": False}, {"combine__calibrate": True}),
    ({}, {"sweep": {"alpha": [0.5, 1.0], "active_classes": [1, 2]}}),
    ({"student__epochs": 3}, {"student__epochs": 4}),
]


@pytest.mark.parametrize("stage", ["views", "calibration", "targets", "combined", "student", "sweep"])
def test_without_a_cause_there_is_no_such_task_and_without_the_others_there_is(stage: str) -> None:
    n_claimed = 0
    for first, second in product(PAIRS, PAIRS):
        if first is second:
            continue
        before, now = first[0] | second[0], first[1] | second[1]
        for name, found in added(stage, before, now).items():
            for one, other in ((first, second), (second, first)):
                is_there = name in listed(stage, **(other[1] | one[0]))
                is_claimed = any(line.startswith(_key(one)) for line in found.causes)
                n_claimed += is_claimed
                assert is_there != is_claimed or found.same_as, (name, before, now, found)
    assert n_claimed


def _key(pair: tuple[Changes, Changes]) -> str:
    """Return the key of a config that a pair of values is of."""
    return next(iter(pair[1])).replace("__", ".")


def test_a_key_that_an_older_config_lacks_is_no_difference() -> None:
    now = with_changes(seeds=[0, 1])
    values = values_of(with_changes(data__views=1))
    del values["seeds"], values["data"]["augment"]
    assert [path for path, *_ in differences(values, values_of(now))] == [("data", "views")]
    found = compared(now, values, KNOWN)
    assert found is not None
    assert found.differing(listed("student", seeds=[0, 1])["student[distilled/1]"], "", 0) == Differing()


def test_nothing_is_claimed_of_a_config_of_which_keys_are_no_more() -> None:
    assert compared(with_changes(), values_of(with_changes()) | {"removed": 1}, KNOWN) is None


def test_a_section_that_one_of_two_has_is_one_difference() -> None:
    now = values_of(with_changes(sweep={"alpha": [0.5]}))
    (found,) = differences(values_of(with_changes()), now)
    assert found == (("sweep",), None, now["sweep"])


def test_a_setting_is_put_back_wherever_it_is_and_whatever_it_is_called() -> None:
    parameters = with_changes()
    put = with_value(parameters, ("specialists", "from"), ("given",))
    assert put.specialists.given == ("given",)
    assert with_value(put, ("specialists", "from"), ()) == parameters
    assert with_value({"a": {"b": 1, "c": 2}}, ("a", "b"), 3) == {"a": {"b": 3, "c": 2}}


def test_the_settings_that_decide_subsets_and_transfer_set_are_those_of_the_default_run() -> None:
    values = values_of(Config.model_validate(read(Path(__file__).parents[3] / "pipeline.yaml", []).values))
    keys = {"given": "from"}
    assert {keys.get(name, name) for name in SUBSETS} <= values["specialists"].keys()
    assert set(CHOSEN) <= values["data"]["transfer"].keys()
    subsets = listed("subsets")
    for name, value in {"epochs": 3, "fraction": 0.1, "regularize": "soft_targets", "on_failure": "drop"}.items():
        assert name not in SUBSETS
        assert listed("subsets", **{f"specialists__{name}": value}) == subsets


def test_every_stage_can_be_listed_with_what_was() -> None:
    before = {"data__views": 2, "controls": [], "seeds": [3]}
    for stage in STAGES:
        for task in listed(stage.name).values():
            found = both(before, {}).differing(task, "", 0)
            assert found.others == (), (task.id, found)
