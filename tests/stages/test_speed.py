"""How fast a model is, and on what."""

import time

import torch

from stages import speed
from stages.learning import hardware


def test_measured_calls_with_batches_and_with_single_images():
    seen = []

    def predict(images):
        seen.append(len(images))
        time.sleep(0.004 if len(images) > 1 else 0.001)
        return images

    found = speed.measured(predict, torch.zeros(300, 2, 2, 1))
    assert set(seen) == {1, speed.BATCH_IMAGES}
    assert seen.count(1) == speed.SINGLE_CALLS + 1
    assert 4 / 256 <= found["milliseconds_per_image"] < 1
    assert 1 <= found["milliseconds_alone"] < 100


def test_measured_on_says_what_decides_speed():
    found = speed.measured_on()
    assert found["threads"] == torch.get_num_threads()
    assert found["torch"] == torch.__version__.split("+")[0]
    assert found["device"]


def test_processor_is_read_from_linux_or_taken_from_python(tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: Fast: 3000\nmodel name\t: Other\n")
    assert hardware.processor(listed) == "Fast: 3000"
    listed.write_text("processor: 0\n")
    assert hardware.processor(listed)
    assert hardware.processor(tmp_path / "nowhere") == hardware.processor(listed)
