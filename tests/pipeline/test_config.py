import subprocess
import sys
from typing import Annotated, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from pipeline.config import changed, dump, load
from pipeline.errors import ConfigError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Net(Section):
    name: Literal["cnn", "mlp"] = "cnn"
    width: int = Field(default=8, gt=0)


def even(value: int) -> int:
    if value % 2:
        raise ValueError(f"must be even; got {value}")
    return value


class Student(Section):
    net: Net | None = Net()
    nets: list[Net] = []
    epochs: int = Field(default=3, ge=1, le=100)
    rate: float = Field(default=0.1, gt=0, lt=1)
    flip: bool = False
    start: str = Field(default="weights", alias="from", min_length=2, max_length=9, pattern="^[a-z]*$")
    sizes: list[int] = Field(default=[1], min_length=1, max_length=2)
    shares: dict[str, float] = {}
    batch: Annotated[int, AfterValidator(even)] = 2
    limit: Annotated[float, Field(multiple_of=0.5)] = 1.0
    note: str = ""


class Top(Section):
    name: str
    seed: int = 0
    student: Student = Student()


def faults(folder, text, overrides=(), checks=None):
    path = folder / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path, Top, overrides, checks)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


NAMED = "name: a\n"
STUDENT = "name: a\nstudent:\n  "
KNOWN = "batch, epochs, flip, from, limit, net, nets, note, rate, shares, sizes"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        # Keys.
        ("seed: 1\n", "run.yaml: name: must be given; got nothing"),
        (
            "name: a\nsede: 1\n",
            "run.yaml:2: sede: must be a key of its section; got 'sede'; did you mean 'seed'?",
        ),
        (
            STUDENT + "form: x",
            "run.yaml:3: student.form: must be a key of its section; got 'form'; did you mean 'from'?",
        ),
        (
            STUDENT + "zzz: x",
            f"run.yaml:3: student.zzz: must be a key of its section; got 'zzz'; known here: {KNOWN}",
        ),
        (
            STUDENT + "net:\n    nam: cnn",
            "run.yaml:4: student.net.nam: must be a key of its section; got 'nam'; did you mean 'name'?",
        ),
        (
            STUDENT + "nets:\n  - name: cnn\n  - widt: 3",
            ("run.yaml:5: student.nets[1].widt: must be a key of its section; got 'widt'; did you mean 'width'?"),
        ),
        (
            "name: a\n1: 2",
            "run.yaml:2: 1: must be a key of its section; got '1'; known here: name, seed, student",
        ),
        ("name: a\nseed: 1\n\nseed: 2", "run.yaml:4: seed: must be given once; got it at run.yaml:2 already"),
        ("name: a\n? [b]\n: 1", "run.yaml:2: must have plain text for keys; got a list or section as a key"),
        # Types.
        (STUDENT + "epochs: 1e2", "run.yaml:3: student.epochs: must be an integer; got 100.0; did you mean 100?"),
        (STUDENT + "epochs: 1e9", "run.yaml:3: student.epochs: must be an integer; got 1000000000.0"),
        (STUDENT + "batch: '3'", "run.yaml:3: student.batch: must be an integer; got '3'"),
        (STUDENT + "rate: '7'", "run.yaml:3: student.rate: must be a number; got '7'"),
        (STUDENT + "sizes: ['7']", "run.yaml:3: student.sizes[0]: must be an integer; got '7'; did you mean 7?"),
        (STUDENT + "epochs: '3'", "run.yaml:3: student.epochs: must be an integer; got '3'; did you mean 3?"),
        (STUDENT + "epochs: 3.0", "run.yaml:3: student.epochs: must be an integer; got 3.0; did you mean 3?"),
        (STUDENT + "epochs: 3.5", "run.yaml:3: student.epochs: must be an integer; got 3.5"),
        (STUDENT + "epochs: true", "run.yaml:3: student.epochs: must be an integer; got true"),
        (STUDENT + "epochs: ten", "run.yaml:3: student.epochs: must be an integer; got 'ten'"),
        (STUDENT + "epochs: 2020-01-01", "run.yaml:3: student.epochs: must be an integer; got '2020-01-01'"),
        (STUDENT + "epochs: 0b_", "run.yaml:3: student.epochs: must be an integer; got '0b_'"),
        (
            STUDENT + "rate: '1e-3'",
            "run.yaml:3: student.rate: must be a number; got '1e-3'; did you mean 0.001?",
        ),
        (STUDENT + "rate: fast", "run.yaml:3: student.rate: must be a number; got 'fast'"),
        (STUDENT + "rate:", "run.yaml:3: student.rate: must be a number; got null"),
        (
            STUDENT + "flip: yes",
            "run.yaml:3: student.flip: must be true or false; got 'yes'; did you mean true?",
        ),
        (STUDENT + "flip: 1", "run.yaml:3: student.flip: must be true or false; got 1"),
        ("name: 3", "run.yaml:1: name: must be text; got 3; did you mean '3'?"),
        ("name: [a]", "run.yaml:1: name: must be text; got ['a']"),
        (STUDENT + "sizes: 3", "run.yaml:3: student.sizes: must be a list, such as [a, b]; got 3; did you mean [3]?"),
        (
            STUDENT + "sizes: big",
            "run.yaml:3: student.sizes: must be a list, such as [a, b]; got 'big'; did you mean [big]?",
        ),
        (STUDENT + "sizes:\n  - 1\n  - x", "run.yaml:5: student.sizes[1]: must be an integer; got 'x'"),
        (
            "name: a\nstudent:",
            ("run.yaml:2: student: must be a section of keys and values; got null; leave the key out for its defaults"),
        ),
        (
            "name: a\nstudent: 3",
            f"run.yaml:2: student: must be a section of keys and values; got 3; known here: {KNOWN}",
        ),
        ("name: a\nstudent: x", "got 'x'; did you mean {from: x}?"),
        (STUDENT + "net: mlp", "got 'mlp'; did you mean {name: mlp}?"),
        (STUDENT + "net: resnet", "got 'resnet'; known here: name, width"),
        (STUDENT + "sizes: none", "got 'none'; did you mean []?"),
        (STUDENT + "nets: mlp", "got 'mlp'; did you mean [{}]?"),
        # Where a key belongs.
        (
            STUDENT + "width: 3",
            "student.width: must be a key of its section; got 'width'; did you mean student.net.width?",
        ),
        ("name: a\nepochs: 3", "epochs: must be a key of its section; got 'epochs'; did you mean student.epochs?"),
        ("name: a\nnet: {width: 3}", "got 'net'; did you mean student.net?"),
        ("name: a\nstudents: {epochs: 3}", "got 'students'; did you mean 'student'?"),
        ("name: a\nseed_: {epochs: 3, rate: 1}", "got 'seed_'; did you mean student.epochs and student.rate?"),
        (
            STUDENT + "shares: [{long: 1234567, longer: 12345678, longest: 123456789, end: 1}]",
            (
                "run.yaml:3: student.shares: must be a section of keys and values; "
                "got [{long: 1234567, longer: 12345678, longest: 123456789, en..."
            ),
        ),
        # Values.
        (STUDENT + "epochs: 0", "run.yaml:3: student.epochs: must be at least 1; got 0"),
        (STUDENT + "epochs: 101", "run.yaml:3: student.epochs: must be at most 100; got 101"),
        (STUDENT + "rate: 0", "run.yaml:3: student.rate: must be greater than 0; got 0"),
        (STUDENT + "rate: 1e0", "run.yaml:3: student.rate: must be less than 1; got 1.0"),
        (STUDENT + "rate: .nan", "run.yaml:3: student.rate: must be a finite number; got .nan"),
        (STUDENT + "rate: .inf", "run.yaml:3: student.rate: must be a finite number; got .inf"),
        (STUDENT + "rate: -1e999", "run.yaml:3: student.rate: must be a finite number; got -.inf"),
        (STUDENT + "epochs: .inf", "run.yaml:3: student.epochs: must be an integer; got .inf"),
        (
            STUDENT + "net: {name: cmn}",
            "run.yaml:3: student.net.name: must be 'cnn' or 'mlp'; got 'cmn'; did you mean 'cnn'?",
        ),
        (STUDENT + "net: {name: 3}", "run.yaml:3: student.net.name: must be 'cnn' or 'mlp'; got 3"),
        (STUDENT + "from: a", "run.yaml:3: student.from: must have at least 2 characters; got 'a'"),
        (
            STUDENT + "from: abcdefghij",
            "run.yaml:3: student.from: must have at most 9 characters; got 'abcdefghij'",
        ),
        (STUDENT + "from: A-B", "run.yaml:3: student.from: must match the pattern ^[a-z]*$; got 'A-B'"),
        (STUDENT + "sizes: []", "run.yaml:3: student.sizes: must have at least 1 entries; got []"),
        (
            STUDENT + "sizes: [1, 2, 3]",
            "run.yaml:3: student.sizes: must have at most 2 entries; got [1, 2, 3]",
        ),
        (STUDENT + "batch: 3", "run.yaml:3: student.batch: must be even; got 3"),
        (
            STUDENT + "limit: 0.7",
            "run.yaml:3: student.limit: must be valid (Input should be a multiple of 0.5); got 0.7",
        ),
        # The text.
        ("", "run.yaml:1: must hold keys and values, such as 'seed: 0'; got an empty file"),
        ("# only this\n", "run.yaml:1: must hold keys and values, such as 'seed: 0'; got an empty file"),
        ("\n- a\n", "run.yaml:1: must hold keys and values, such as 'seed: 0'; got ['a']"),
        ("digits", "run.yaml:1: must hold keys and values, such as 'seed: 0'; got 'digits'"),
        ("name: !foo a", "run.yaml:1: name: must have no tag; got !foo"),
        ("!!omap\n- a: 1", "run.yaml:1: must have no tag; got !!omap"),
        ("name: &a\n- *a", "run.yaml:1: name[0]: must not contain itself"),
        (b"PK\x03\x04\0\xe9", "run.yaml: must be a config, text in YAML; got a file that is no text: name the config"),
        ("name: a".encode("utf-16"), "run.yaml:1: must be UTF-8 text; got the byte 0xff; save the file as UTF-8"),
        (b"name: a\nseed: \xe9", "run.yaml:2: must be UTF-8 text; got the byte 0xe9; save the file as UTF-8"),
        (
            "name: a\nstudent:\n\tepochs: 3",
            (
                "run.yaml:3: must be YAML; the parser says: found character '\\t' that cannot start any "
                "token; indent with spaces instead of tabs"
            ),
        ),
        (
            "name: a: b",
            (
                "run.yaml:1: must be YAML; the parser says: mapping values are not allowed here; "
                "put a value that contains ': ' in quotes, and check the indentation"
            ),
        ),
        (
            "name: [a\nseed: 0",
            (
                "run.yaml:2: must be YAML; the parser says: expected ',' or ']', but got ':' "
                "in what begins on line 1; check indentation, brackets and quotes there"
            ),
        ),
        (
            "name: 'a\nseed: 0",
            (
                "run.yaml:2: must be YAML; the parser says: found unexpected end of stream "
                "in what begins on line 1; close the quote"
            ),
        ),
        (
            "name: *a",
            (
                "run.yaml:1: must be YAML; the parser says: found undefined alias 'a'; "
                "define it before with '&', or put a value that starts with '*' in quotes"
            ),
        ),
        (
            "name: a\n---\nname: b",
            (
                "run.yaml:2: must be YAML; the parser says: found another document in what begins on line 1; "
                "keep one document, without '---' between parts"
            ),
        ),
        (
            "name: a\nseed: \x01",
            (
                "run.yaml:2: must be YAML; the parser says: unacceptable character #x0001: "
                "special characters are not allowed; remove it, or write it as an escape in double quotes"
            ),
        ),
        ("[" * 2000, "run.yaml:1: must be YAML; got too many levels of nesting; remove some"),
    ],
)
def test_load_names_the_fault(tmp_path, text, fault):
    told = faults(tmp_path, text)
    assert [line for line in told if line.endswith(fault)], told


def test_load_lists_all_faults_in_the_order_of_the_file_and_then_of_the_overrides(tmp_path):
    text = "seed: x\nstudent:\n  rate: 2\n  epochs: 0\n  epochs: 1\nnaem: a\nseed: 3\n"
    assert faults(tmp_path, text, ["student.flip=2", "seed", "student.net.width=0"]) == [
        "run.yaml: name: must be given; got nothing",
        "run.yaml:3: student.rate: must be less than 1; got 2",
        "run.yaml:5: student.epochs: must be given once; got it at run.yaml:4 already",
        "run.yaml:6: naem: must be a key of its section; got 'naem'; did you mean 'name'?",
        "run.yaml:7: seed: must be given once; got it at run.yaml:1 already",
        "--set student.flip=2: student.flip: must be true or false; got 2",
        "--set seed: must be PATH=VALUE, such as student.epochs=30; got 'seed'",
        "--set student.net.width=0: student.net.width: must be greater than 0; got 0",
    ]


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("seed", "must be PATH=VALUE, such as student.epochs=30; got 'seed'"),
        ("=3", "must be PATH=VALUE, such as student.epochs=30; got '=3'"),
        ("student..epochs=3", "must be PATH=VALUE, such as student.epochs=30; got 'student..epochs=3'"),
        ("seed.x=3", "seed: must be a section for a key to be set in it; got 1"),
        (
            "student.sizes[0]=3",
            "student.sizes[0]: must name a key; got a place in a list; set the whole list, such as student.sizes=[...]",
        ),
        (
            "student.epoch=3",
            "student.epoch: must be a key of its section; got 'epoch'; did you mean 'epochs'?",
        ),
        ("seed=", "seed: must be an integer; got null"),
        ("student={flip: 3}", "student.flip: must be true or false; got 3"),
        (
            "student={flip: true, flip: true}",
            "student.flip: must be given once; got it at --set student={flip: true, flip: true} already",
        ),
        (
            "student.sizes=[1",
            (
                "student.sizes: must be YAML; the parser says: expected ',' or ']', but got '<stream end>' "
                "in what begins on line 1; check indentation, brackets and quotes there"
            ),
        ),
    ],
)
def test_load_names_the_override_at_fault(tmp_path, override, fault):
    assert faults(tmp_path, "name: a\nseed: 1", [override]) == [f"--set {override}: {fault}"]


def test_load_reports_overrides_of_a_file_that_cannot_be_read(tmp_path):
    assert faults(tmp_path, "", ["seed=1", "seed"]) == [
        "run.yaml:1: must hold keys and values, such as 'seed: 0'; got an empty file",
        "--set seed: must be PATH=VALUE, such as student.epochs=30; got 'seed'",
    ]


def test_load_suggests_the_name_of_a_missing_file(tmp_path):
    (tmp_path / "pipeline.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "pipelin.yaml", Top)
    reason = "must be a file that can be read; got: no such file or directory; did you mean 'pipeline.yaml'?"
    assert str(caught.value) == f"{tmp_path}/pipelin.yaml: {reason}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "a directory; name a file in it"),
        ("none/run.yaml", "no such file or directory"),
        ("n" * 300, "file name too long"),
    ],
)
def test_load_says_why_a_file_cannot_be_read(tmp_path, name, reason):
    with pytest.raises(ConfigError, match=f": must be a file that can be read; got: {reason}$"):
        load(tmp_path / name, Top)


def test_load_suggests_the_config_in_the_folder_of_a_run(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match=rf"got: a directory; did you mean '{tmp_path / 'config.yaml'}'\?$"):
        load(tmp_path, Top)


def test_load_puts_overrides_in(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("\ufeffname: a\nstudent:\n", encoding="utf-8")  # Windows editors begin a file with U+FEFF
    overrides = [
        "seed=1",
        "student.rate=1e-3",
        "student.sizes=[4, 5]",
        "student.net.name=mlp",
        "seed=2",
        "name=n=1",
    ]
    model = load(path, Top, overrides).model
    assert (model.name, model.seed, model.student.rate, model.student.sizes) == ("n=1", 2, 0.001, [4, 5])
    assert model.student.net == Net(name="mlp")


def test_load_replaces_a_section_given_as_a_whole(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: a\nstudent: {epochs: 'wrong', rate: 0.5}")
    assert load(path, Top, ["student={epochs: 7}"]).model.student == Student(epochs=7)


def test_load_reads_yaml_1_2(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: yes\nseed: 0o17\nstudent:\n  rate: 1e-3\n  shares: {a: 1, b: 1.e-2}\n  from: on\n  net: ~\n")
    model = load(path, Top).model
    assert (model.name, model.seed, model.student.rate, model.student.start) == ("yes", 15, 0.001, "on")
    assert (model.student.shares, model.student.net) == ({"a": 1.0, "b": 0.01}, None)


def test_load_follows_aliases(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: &it digits\nstudent: {note: *it}\n")
    assert load(path, Top).model.student.note == "digits"


def test_load_reports_what_only_a_check_can_know(tmp_path):
    def check(model, source):
        return [
            (("student", "epochs"), f"must differ from the seed; got {model.seed}"),
            (("student", "rate"), "no"),
        ]

    assert faults(tmp_path, STUDENT + "epochs: 4\nseed: 4", checks=check) == [
        "run.yaml:2: student.rate: no",
        "run.yaml:3: student.epochs: must differ from the seed; got 4",
    ]


def test_load_checks_what_fits_beside_what_does_not(tmp_path):
    def check(model, source):
        return [
            (("seed",), "must be odd; got 2"),
            (("name",), "must be new; got 'digits'"),
            (("student", "rate"), "no"),
        ]

    # Of the seed a fault is told already, and the rate is a default that nobody wrote.
    assert faults(tmp_path, NAMED + "seed: 1\nseed: 2", checks=check) == [
        "run.yaml:1: name: must be new; got 'digits'",
        "run.yaml:3: seed: must be given once; got it at run.yaml:2 already",
    ]


def test_load_checks_with_defaults_where_what_is_left_of_a_section_does_not_fit(tmp_path):
    seen = []

    def check(model, source):
        seen.append((model, source.values["inner"]))
        return [(("name",), "must be new; got 'a'")]

    class Inner(Section):
        many: int = 1
        listed: tuple[int, ...] | None = Field(default=None, strict=False, validate_default=True)

        @field_validator("listed")
        @classmethod
        def _as_many(cls, listed, info):
            if len(listed or ()) != info.data["many"] - 1:
                raise ValueError("must be one less than many")
            return listed

    class Outer(Section):
        name: str
        inner: Inner = Inner(many=1)

    path = tmp_path / "run.yaml"
    path.write_text("name: a\ninner: {many: 2, listed: [x]}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, Outer, [], check)
    assert [line.partition("run.yaml:")[2] for line in str(caught.value).splitlines()] == [
        "1: name: must be new; got 'a'",
        "2: inner.listed[0]: must be an integer; got 'x'",
    ]
    assert seen == [(Outer(name="a"), {"many": 2, "listed": ["x"]})]


def test_load_does_not_check_where_nothing_fits(tmp_path):
    def check(model, source):
        raise AssertionError

    assert faults(tmp_path, "seed: none", checks=check) == [
        "run.yaml: name: must be given; got nothing",
        "run.yaml:1: seed: must be an integer; got 'none'",
    ]


numbers = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)
printable = st.text(st.characters(exclude_categories=("Cs",)))
students = st.builds(
    Student,
    net=st.none() | st.builds(Net, width=st.integers(min_value=1)),
    rate=numbers,
    flip=st.booleans(),
    sizes=st.lists(st.integers(), min_size=1, max_size=2),
    shares=st.dictionaries(printable, numbers, max_size=3),
    note=printable,
)


@settings(deadline=None)
@example(Top(name="\x85 \u2028 \u2029 \ufeff \U0001f600"))
@given(st.builds(Top, name=printable, seed=st.integers(), student=students))
def test_dump_loads_to_an_equal_model(tmp_path_factory, model):
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_bytes(dump(model).encode())
    assert load(path, Top).model == model


def test_dump_writes_defaults_in_the_order_of_the_schema(tmp_path):
    assert dump(Net()) == "name: cnn\nwidth: 8\n"
    assert dump(Top(name="b", student=Student(net=None))).startswith("name: b\nseed: 0\nstudent:\n  net: null\n")


def test_dump_keeps_letters_readable():
    assert dump(Net.model_construct(name="données", width=8)) == "name: données\nwidth: 8\n"


def test_changed_names_every_difference_by_path():
    old = {"b": {"c": 20, "d": "x", "same": [1]}, "e": [1, 2], "gone": None, "was": 1, "f": {}}
    new = {"b": {"c": 30, "d": "y", "same": [1]}, "e": [1, 2, 3], "new": True, "was": {"k": 1.5}, "f": {}}
    assert changed(old, new) == [
        "b.c 20 -> 30",
        "b.d 'x' -> 'y'",
        "e [1, 2] -> [1, 2, 3]",
        "gone null -> (none)",
        "new (none) -> true",
        "was 1 -> (none)",
        "was.k (none) -> 1.5",
    ]


def test_changed_tells_apart_what_a_recipe_does():
    assert changed({"a": 1, "b": 1, "c": "1"}, {"a": 1.0, "b": True, "c": 1}) == [
        "a 1 -> 1.0",
        "b 1 -> true",
        "c '1' -> 1",
    ]


def test_changed_minds_the_order_of_lists_and_not_of_keys():
    old = {"tried": [["soft", {"alpha": 0.9, "rate": 0.1}], ["hard", {}]], "seeds": [1, 2]}
    new = {"seeds": [2, 1], "tried": [["soft", {"rate": 0.1, "alpha": 0.9}], ["hard", {}]]}
    assert changed(old, new) == ["seeds [1, 2] -> [2, 1]"]
    tried = [["soft", {"rate": 0.1, "alpha": 0.5}], ["hard", {}]]
    assert changed(old, new | {"seeds": [1, 2], "tried": tried}) == [
        "tried [['soft', {alpha: 0.9, rate: 0.1}], ['hard', {}]] -> [['soft', {alpha: 0.5, rate: 0.1}], ['hard', {}]]"
    ]


def test_changed_shows_of_long_values_where_they_differ():
    old = {"a": [*range(100)], "b": ["x" * 100], "short": "x" * 58}
    new = {"a": [*range(50), *range(51, 100)], "b": 1, "short": "y" * 58}
    numbers, text, short = changed(old, new)
    assert numbers.startswith("a ..., 47, 48, 49, 50, 51, 52,")
    assert " -> ..., 47, 48, 49, 51, 52, 53," in numbers
    assert text == f"b ['{'x' * 58}... -> 1"
    assert short == f"short '{'x' * 58}' -> '{'y' * 58}'"


def test_importing_config_and_parameters_imports_nothing_heavy():
    heavy = {"torch", "numpy", "ray", "ruamel.yaml"}
    code = f"import sys, pipeline.config, stages.parameters; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_place_in_a_list_cannot_be_set_by_its_number(tmp_path):
    (tmp_path / "run.yaml").write_text("student: {epochs: 3, sizes: [1, 2]}\n")
    with pytest.raises(ConfigError, match=r"sizes: must be a section .*; got \[1, 2\]; set the whole list, such as"):
        load(tmp_path / "run.yaml", Top, ["student.sizes.0=3"])
