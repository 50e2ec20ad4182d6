import json

import pytest

from pipeline.errors import StoreError
from pipeline.recipe import canonical, key_of, sha256
from pipeline.store import KeptObject, Manifest
from pipeline.store.manifest import manifest_path, object_path
from pipeline.store.records import read_run, run_path, seal, unseal

RECIPE = {"stage": "confusion", "seed": 3, "rate": 1e-3, "name": "größe"}


def make_manifest(**changes):
    objects = (KeptObject("facts.json", sha256(b"{}"), 2),)
    values = {
        "key": key_of(RECIPE),
        "recipe": RECIPE,
        "objects": objects,
        "seconds": 0.5,
        "created": "2024-01-01",
    }
    return Manifest(**values | changes)


def test_manifest_comes_back_as_it_was():
    manifest = make_manifest()
    assert Manifest.unsealed(manifest.sealed(), manifest_path(manifest.key)) == manifest


def test_manifest_digest_is_of_the_content_alone():
    manifest = make_manifest()
    assert manifest.digest == sha256(canonical({"facts.json": sha256(b"{}")}))
    assert make_manifest(seconds=7.0, recipe={}, key="").digest == manifest.digest
    assert json.loads(manifest.sealed())["digest"] == manifest.digest


def test_manifest_notices_every_bit():
    manifest = make_manifest()
    data = manifest.sealed()
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError, match=r"."):
            Manifest.unsealed(bytes(flipped), manifest_path(manifest.key))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\0" * 50, b'{"a":NaN}', seal({"a": 1}) + b" "])
def test_unseal_refuses_what_is_not_sealed(data):
    with pytest.raises(ValueError, match=r"."):
        unseal(data)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (seal({"a": 1}), "not a manifest"),
        (seal({"objects": [{"name": "x"}]}), "not a manifest"),
        (make_manifest(key="0" * 64).sealed(), "contradicts itself"),
        (seal({**unseal(make_manifest().sealed()), "digest": "0"}), "contradicts itself"),
        (make_manifest(recipe={}, key=key_of({})).sealed(), f"the manifest of {key_of({})}"),
    ],
)
def test_manifest_refuses_what_is_sealed_but_wrong(data, fault):
    with pytest.raises(ValueError, match=fault):
        Manifest.unsealed(data, manifest_path(key_of(RECIPE)))


def test_paths_spread_over_folders():
    assert object_path("abcd") == "objects/ab/abcd"
    assert manifest_path("ab" * 32) == f"manifests/ab/{'ab' * 32}.json"


@pytest.mark.parametrize("key", ["", "../../etc", "AB" * 32, "ab" * 33, "ab" * 32 + "\n"])
def test_manifest_path_refuses_what_is_no_key(key):
    with pytest.raises(StoreError, match="a key must be 64 hexadecimal digits; got"):
        manifest_path(key)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a b", "a" * 201])
def test_run_path_refuses_what_is_no_file_name(name):
    with pytest.raises(StoreError, match="the name of a run must be"):
        run_path(name)


def test_read_run_refuses_what_is_no_record():
    for document in ({"a": 1}, {"name": "a", "keys": {}}, {"name": "a/b", "keys": {}, "created": ""}):
        with pytest.raises(ValueError, match="it is no run"):
            read_run(seal(document), "runs/a.json")
    with pytest.raises(ValueError, match="it is the run b"):
        read_run(seal({"name": "b", "keys": {}, "created": ""}), "runs/a.json")
