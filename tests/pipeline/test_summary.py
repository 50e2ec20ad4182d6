from pipeline.recipe import key_of
from pipeline.stage import Making
from pipeline.store.manifest import KeptObject, Manifest
from pipeline.summary import summarise


def manifest(stage: str, content: str, inputs: dict[str, object], seconds: float = 1.0) -> Manifest:
    recipe = {"stage": stage, "inputs": inputs}
    kept = KeptObject("facts.json", content * 64, 10), KeptObject("arrays.safetensors", content * 64, 90)
    return Manifest(key_of(recipe), recipe, kept, seconds, "2026-01-01T00:00:00+00:00")


def test_summary_orders_stages_and_finds_what_each_result_was_made_from() -> None:
    data = manifest("data", "a", {})
    parts = {f"part[{i}]": manifest("part", content, {"data": data.digest}) for i, content in enumerate("bc")}
    digests = [part.digest for part in parts.values()]
    whole = manifest("whole", "d", {"parts": digests, "data": data.digest, "gone": "0" * 64}, seconds=2.0)
    results = {"whole": whole, **parts, "data": data}
    found = summarise(
        "run",
        3,
        "config",
        stages=["data", "part", "whole"],
        results=results,
        made={"part[1]": Making(4.0), "whole": Making(6.0, {"compiling": 20.0})},
    )
    assert [task.id for task in found.tasks] == ["data", "part[0]", "part[1]", "whole"]
    assert [task.made_from for task in found.tasks] == [(), ("data",), ("data",), ("part[0]", "part[1]", "data")]
    assert [dict(task.prepared) for task in found.tasks] == [{}, {}, {}, {"compiling": 20.0}]
    assert [task.ended for task in found.tasks] == [None, None, 4.0, 6.0]
    assert found.seconds == {"data": 1.0, "part": 2.0, "whole": 2.0}
    assert found.reused == ["data", "part[0]"]
    assert found.tasks[-1].bytes == 100
    assert (found.tasks[-1].key, found.tasks[-1].digest) == (whole.key, whole.digest)
    assert (found.name, found.seed, found.config) == ("run", 3, "config")
