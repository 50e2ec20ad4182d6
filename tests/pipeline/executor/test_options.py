from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.executor import available_cpus, expects_gpus
from pipeline.executor.options import GIB, Demand, RayOptions, Reserved, WaitFor, check_options, demand
from pipeline.stage import Stage

STAGES = (Stage("data", "", ""), Stage("specialist", "", "", gpu=0.25), Stage("report", "", "", kept=False))
THREADS = {("specialists", "threads"): (("specialist",), 2), ("student", "threads"): (("student",), 1)}
WORKERS = {("student", "workers"): (("student",), 1)}


def message(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        RayOptions.model_validate(values)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("address", ["local", "inline", "auto", "ray://head:10001", "ray://[::1]:10001"])
def test_addresses_are_words_or_lead_to_a_cluster(address: str) -> None:
    options = RayOptions(address=address)
    assert options.is_joined == (address not in {"local", "inline"})


@pytest.mark.parametrize("address", ["Local", "ray://head", "ray://:10001", "10.0.0.1:6379", "autos"])
def test_other_addresses_are_refused_with_what_is_meant(address: str) -> None:
    said = message(address=address)
    assert f"must be local, inline, auto or ray://HOST:PORT; got '{address}'" in said
    assert ("did you mean 'auto'?" in said) == (address == "autos")


def test_shares_of_several_gpus_and_rays_own_names_are_refused() -> None:
    assert "must be a share of one GPU, or whole GPUs; got 1.5" in message(resources={"student": {"gpus": 1.5}})
    said = message(resources={"student": {"custom": {"GPU": 1}}})
    assert "must name resources of your own; got GPU; did you mean 'gpus'?" in said
    assert "such as {GPU: 4, seconds: 600}; got seconds alone" in message(wait_for={"seconds": 5})


def test_demand_is_the_stages_unless_the_config_says_otherwise() -> None:
    specialist = STAGES[1]
    assert demand(RayOptions(), specialist, 2, has_gpus=True) == Demand(2, 0.25)
    assert demand(RayOptions(), specialist, 2, has_gpus=False) == Demand(2, 0.0)
    reserved = Reserved(cpus=3, gpus=1, memory=1.5, custom={"a100": 1})
    wanted = demand(RayOptions(resources={"specialist": reserved}), specialist, 2, has_gpus=False)
    assert wanted.amounts == {"CPU": 3, "GPU": 1, "memory": 1.5 * GIB, "a100": 1}
    assert Demand(0.0).amounts == {}


def test_each_of_several_workers_has_a_gpu_of_its_own_unless_the_config_says_otherwise() -> None:
    specialist, data = STAGES[1], STAGES[0]
    assert demand(RayOptions(), specialist, 2, has_gpus=True, workers=3) == Demand(2, 1.0)
    assert demand(RayOptions(), specialist, 2, has_gpus=False, workers=3) == Demand(2, 0.0)
    assert demand(RayOptions(), data, 1, has_gpus=True, workers=3) == Demand(1, 0.0)
    shared = RayOptions(resources={"specialist": Reserved(gpus=0.5)})
    assert demand(shared, specialist, 2, has_gpus=True, workers=3) == Demand(2, 0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            RayOptions(address="inline"),
            "must be 1 with ray.address inline, which has one process; got 3; set it to local",
        ),
        (RayOptions(cpus=2), "must be at most 2, for the local Ray has 2 CPUs and each takes 1; got 3"),
        (
            RayOptions(cpus=5, resources={"specialist": Reserved(), "student": Reserved(cpus=2)}),
            "must be at most 2, for the local Ray has 5 CPUs and each takes 2; got 3",
        ),
        (RayOptions(cpus=3), ""),
        (RayOptions(cpus=2, resources={"student": Reserved(cpus=0)}), ""),
        (RayOptions(address="auto"), ""),
    ],
)
def test_workers_have_a_process_and_its_cpus_each(options: RayOptions, said: str) -> None:
    stages, path = (*STAGES, Stage("student", "", "")), ("student", "workers")
    faults = check_options(options, stages, {}, {path: (("student",), 3)})
    assert faults == ([(path, said)] if said else [])
    again = Stage("again", "", "", like="student")
    assert check_options(options, (*stages, again), {}, {path: (("student", "again"), 3)}) == faults


def test_demand_is_that_of_the_like_unless_the_config_says_something_of_the_stage_itself() -> None:
    again, resources = Stage("again", "", "", like="specialist"), {"specialist": Reserved(memory=2)}
    assert demand(RayOptions(resources=resources), again, 1, has_gpus=False) == Demand(1, memory=2 * GIB)
    resources |= {"again": Reserved(cpus=3)}
    assert demand(RayOptions(resources=resources), again, 1, has_gpus=False) == Demand(3)
    assert demand(RayOptions(resources={"data": Reserved(cpus=3)}), again, 1, has_gpus=False) == Demand(1)


def test_waiting_names_what_the_cluster_will_have() -> None:
    assert WaitFor.model_validate({"GPU": 4, "seconds": 600}).resources == {"GPU": 4}


def test_check_names_what_no_worker_offers() -> None:
    assert check_options(RayOptions(cpus=1), STAGES, THREADS, WORKERS) == [
        (("specialists", "threads"), "must be at most 1, the CPUs of the local Ray; got 2")
    ]
    assert check_options(RayOptions(address="inline", cpus=1), STAGES, THREADS, WORKERS) == []
    assert check_options(RayOptions(address="auto"), STAGES, THREADS, WORKERS) == []


def test_check_tells_all_that_does_not_fit_the_stages() -> None:
    resources = {
        "specialits": Reserved(),
        "report": Reserved(gpus=1),
        "specialist": Reserved(cpus=1, custom={"a100": 1}),
        "data": Reserved(cpus=9),
    }
    options = RayOptions(cpus=2, resources=resources, wait_for=WaitFor.model_validate({"GPU": 1, "seconds": 1}))
    assert check_options(options, STAGES, THREADS, WORKERS) == [
        (("ray", "wait_for"), "must go with ray.address auto or ray://HOST:PORT; got local"),
        (
            ("ray", "resources", "specialits"),
            "must be one of data, specialist; got 'specialits'; did you mean 'specialist'?",
        ),
        (("ray", "resources", "report"), "must be one of data, specialist; got 'report'"),
        (("ray", "resources", "specialist", "cpus"), "must be at least 2, the threads of the stage; got 1"),
        (
            ("ray", "resources", "specialist", "custom"),
            "must be left out with ray.address local, which has none; got a100",
        ),
        (("ray", "resources", "data", "cpus"), "must be at most 2, the CPUs of the local Ray; got 9"),
    ]
    (fault,) = check_options(RayOptions(address="auto", cpus=2), STAGES, THREADS, WORKERS)
    assert fault[0] == ("ray", "cpus")


def test_a_share_of_a_cpu_is_enough_for_one_thread() -> None:
    options = RayOptions(cpus=2, resources={"data": Reserved(cpus=0.5)})
    assert check_options(options, STAGES, {}, {}) == []


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_cpus_are_at_least_one_where_nothing_restricts_them(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == available_cpus() >= 1


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", None), ("150000 100000", 1), ("20000 100000", 1)])
def test_cpus_respect_a_quota_of_version_2_on_any_level(tmp_path: Path, quota: str, expected: int | None) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/job/step\n")
    write(tmp_path, "sys/fs/cgroup/job/step/cpu.max", "max 100000\n")
    write(tmp_path, "sys/fs/cgroup/job/cpu.max", quota)
    assert available_cpus(tmp_path) == (expected or available_cpus())


def test_cpus_respect_a_quota_of_version_1_which_a_container_sees_at_the_top(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert available_cpus(tmp_path) == available_cpus()
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n")
    assert available_cpus(tmp_path) == 1


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("nvidia0", None, True),
        ("nvidia0", "0", True),
        ("nvidia0", "", False),
        ("nvidia0", "-1", False),
        ("dxg", None, True),
        ("nvidiactl", None, False),
    ],
)
def test_local_ray_has_gpus_where_the_machine_has_some_in_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, expected: bool
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / device).touch()
    assert expects_gpus(RayOptions(address="local"), tmp_path, visible) == expected
    assert not expects_gpus(RayOptions(address="inline"), tmp_path, visible)
    assert expects_gpus(RayOptions(address="auto"), tmp_path, visible)
