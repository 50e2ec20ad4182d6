import string
from importlib import metadata
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from pipeline.recipe import canonical, derive_seed, key_of, plain, recipe, significant, task_seed
from pipeline.stage import Stage, Task, Unrecorded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_letters), inner, max_size=3),
    max_leaves=8,
)
STAGE = Stage("student", "m:f", "m:t", packages=("numpy",))


class Training(BaseModel):
    epochs: int = 3
    source: str = Field("a", alias="from")


class Later(Training):
    clip: Annotated[float | None, Unrecorded((None,))] = None
    graph: Annotated[bool, Unrecorded((True, False))] = True
    inner: Training = Training()


def of(task: Task, *, stage: Stage = STAGE, seed: int = 0, **inputs: Any) -> str:
    return key_of(recipe(stage, task, seed=seed, inputs=inputs))


@given(st.dictionaries(st.text(), JSON))
def test_canonical_is_the_same_whatever_the_order(values: dict[str, Any]) -> None:
    backwards = dict(reversed(values.items()))
    assert canonical(values) == canonical(backwards)


@given(JSON, JSON)
def test_canonical_differs_where_values_differ(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (repr(sort(one)) == repr(sort(other)))


def sort(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: sort(value[name]) for name in sorted(value)}
    return [sort(item) for item in value] if isinstance(value, list) else value


def test_canonical_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"loss": float("nan")})


def test_plain_writes_models_by_alias_and_tuples_as_lists() -> None:
    assert plain({"a": Training(), "b": (1, (2,))}) == {"a": {"epochs": 3, "from": "a"}, "b": [1, [2]]}


def test_plain_leaves_out_what_changes_nothing() -> None:
    assert plain(Later(inner=Later())) == plain(Training()) | {
        "inner": plain(Training()) | {"inner": plain(Training())}
    }
    assert plain(Later(clip=1.0, graph=False)) == plain(Training()) | {"clip": 1.0, "inner": plain(Training())}


@given(st.integers(0, 2**63), st.text(), st.text())
def test_seeds_fit_every_generator_and_differ_by_stage_and_identity(seed: int, stage: str, identity: str) -> None:
    assert 0 <= derive_seed(seed, stage, identity) < 2**63
    assert derive_seed(seed, stage, identity) != derive_seed(seed, stage, identity + "x")
    assert derive_seed(seed, stage, identity) != derive_seed(seed, stage + "x", identity)


def test_seeds_of_a_stage_and_an_identity_are_not_confused() -> None:
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")


def test_tasks_can_share_their_draws() -> None:
    hard, soft = (Task("student", name, seed_identity="") for name in ("hard", "distilled"))
    assert task_seed(hard, 1) == task_seed(soft, 1) != task_seed(hard, 2)
    assert task_seed(Task("student", "hard"), 1) != task_seed(Task("student", "distilled"), 1)


def test_tasks_of_several_stages_can_share_their_draws() -> None:
    once, again = Task("student", "hard"), Task("again", "hard", seed_stage="student")
    assert task_seed(once, 1) == task_seed(again, 1) != task_seed(Task("again", "hard"), 1)
    assert task_seed(Task("again", "soft", seed_stage="student"), 1) != task_seed(once, 1)


def test_key_holds_what_can_change_the_result() -> None:
    task = Task("student", "a", parameters={"student": Training()})
    others = [
        of(task),
        of(Task("student", "b", parameters={"student": Training()})),
        of(Task("student", "a", parameters={"student": Training(epochs=4)})),
        of(Task("student", "a", parameters={"student": Training()}, threads=2)),
        of(Task("student", "a", parameters={"student": Training()}, revision=1)),
        of(Task("student", "a", parameters={"student": Training()}, packages=("pydantic",))),
        of(task, seed=1),
        of(task, dataset="digest"),
        of(task, stage=Stage("student", "m:f", "m:t", packages=("numpy",), version=2)),
        of(task, stage=Stage("student", "m:f", "m:t")),
    ]
    assert len(set(others)) == len(others)


def test_key_holds_nothing_that_cannot() -> None:
    task = Task("student", "a", parameters={"epochs": 1})
    elsewhere = Task("student", "a", parameters={"epochs": 1}, settings={"root": "/elsewhere"})
    moved = Stage("student", "other:name", "other:tasks", gpu=1.0, packages=("numpy",))
    assert of(task) == of(elsewhere) == of(task, stage=moved)


def test_recipe_names_major_versions() -> None:
    assert recipe(STAGE, Task("student"), seed=0, inputs={})["packages"] == {
        "numpy": metadata.version("numpy").split(".")[0]
    }
    with_library = recipe(STAGE, Task("student", packages=("pydantic",)), seed=0, inputs={})["packages"]
    assert with_library == {name: metadata.version(name).split(".")[0] for name in ("numpy", "pydantic")}


def test_versions_below_1_count_by_their_minor_number() -> None:
    assert [significant(version) for version in ("2.15.0", "0.29.2", "0.29.2+cpu", "10", "0")] == [
        "2", "0.29", "0.29", "10", "0",
    ]  # fmt: skip


def test_recipe_holds_a_revision_where_there_is_one() -> None:
    first, second = (recipe(STAGE, Task("student", revision=n), seed=0, inputs={}) for n in (0, 1))
    assert "revision" not in first
    assert second == first | {"revision": 1}
