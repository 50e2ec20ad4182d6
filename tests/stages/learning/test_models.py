"""Networks and their weights as arrays."""

import numpy as np
import pytest
import torch

from stages.learning import model_names, models
from stages.learning.errors import LearningError
from stages.learning.models.residual import Block, WideBlock


def build(name="cnn", size=(8, 8), **options):
    return models.build(name, **({"classes": 5, "channels": 1, "image_size": size, "width": 4} | options))


def same(first, second):
    arrays, others = models.state_to_arrays(first), models.state_to_arrays(second)
    return all(np.array_equal(arrays[name], others[name]) for name in arrays | others)


@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet8", "wrn-16-1"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (28, 28), (32, 32), (64, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_build_takes_images_of_many_sizes(name, size, channels):
    model = build(name, size, channels=channels).eval()
    assert isinstance(model.head, torch.nn.Linear)
    assert model(torch.zeros(2, channels, *size)).shape == (2, 5)


def test_build_depends_on_its_seed_alone_and_leaves_the_global_generator():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = build(seed=7)
    assert torch.equal(torch.rand(3), expected)
    assert same(first, build(seed=7))
    assert not same(first, build(seed=8))


def test_build_names_the_network_that_was_meant():
    with pytest.raises(LearningError, match=r"model must be one of cnn, mlp, .*; got 'resnet21'; did you mean 'resnet"):
        build("resnet21")


@pytest.mark.parametrize(
    ("name", "with_weights"),
    [
        ("cnn", ["features.0", "features.1", "features.4", "features.5", "features.7", "features.8", "head"]),
        ("mlp", ["features.1", "features.4", "head"]),
    ],
)
def test_build_names_weights_as_kept_networks_have_them(name, with_weights):
    found = {weights.rpartition(".")[0] for weights in models.state_to_arrays(build(name))}
    assert sorted(found) == with_weights


def test_n_parameters_counts_weights():
    # 64 x 4 and 4 x 4 weights with 4 biases each, and the head of 4 x 5 with 5
    assert models.n_parameters(build("mlp")) == 260 + 20 + 25


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        # as the repositories that compare distillation methods count them, with 100 classes
        ("resnet20", 278_324),
        ("resnet56", 861_620),
        ("resnet110", 1_736_564),
        ("resnet8x4", 1_233_540),
        ("resnet32x4", 7_433_860),
        ("wrn-16-2", 703_284),
        ("wrn-40-2", 2_255_156),
        ("wrn-40-1", 569_780),
    ],
)
def test_networks_of_the_literature_have_its_number_of_weights(name, n_parameters):
    model = build(name, (32, 32), classes=100, channels=3)
    assert models.n_parameters(model) == n_parameters
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


def test_every_name_that_a_config_may_give_has_its_network():
    assert tuple(models.MODELS) == model_names.OWN


@pytest.mark.parametrize("name", ["resnet8", "wrn-16-1"])
def test_stages_halve_the_image(name):
    model = build(name, (32, 32))
    sizes = [[*module(torch.zeros(1, *shape)).shape[1:]] for module, shape in staged(model.features)]
    assert sizes == [[16, 32, 32], [32, 16, 16], [64, 8, 8]]


def staged(features):
    stages = [module for module in features if isinstance(module, torch.nn.Sequential)]
    return zip(stages, [(16, 32, 32), (16, 32, 32), (32, 16, 16)], strict=True)


def test_blocks_add_to_their_input_where_their_body_is_nothing():
    images = torch.rand(2, 4, 5, 5)
    for block in (Block(4, 4, 1).eval(), WideBlock(4, 4, 1).eval()):
        torch.nn.init.zeros_(block.body[-1].weight)
        assert torch.equal(block(images), images)


def test_mlp_has_the_layers_of_the_2015_paper():
    model = build("mlp", (28, 28), classes=10, hidden=[1200, 1200], dropout=0.5, input_dropout=0.2)
    assert models.n_parameters(model) == 784 * 1200 + 1200 + 1200 * 1200 + 1200 + 12_000 + 10
    dropouts = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts == [0.2, 0.5, 0.5]
    plain = build("mlp", (28, 28), classes=10, hidden=[1200, 1200])
    assert list(plain.state_dict()) == [name.replace("features.0.0", "features.0") for name in model.state_dict()]


def test_mlp_drops_pixels_and_units_in_training_alone():
    model = build("mlp", (30, 30), hidden=[50], dropout=0.5, input_dropout=0.2)
    seen = []
    for place in (0, 3):
        model.features[place].register_forward_hook(lambda _, __, output: seen.append(output))
    images = torch.ones(20, 1, 30, 30)
    torch.nn.init.ones_(model.features[1].weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.train()(images)
    assert [float((out == 0).float().mean()) for out in seen] == pytest.approx([0.2, 0.5], abs=0.03)
    assert torch.equal(model.eval()(images), model(images))


def test_state_goes_to_arrays_and_back_exactly():
    source = build(seed=1).to(memory_format=torch.channels_last)
    source(torch.rand(4, 1, 8, 8))  # moves the running statistics
    arrays = models.state_to_arrays(source)
    assert arrays["features.1.num_batches_tracked"].shape == ()
    assert all(array.flags.c_contiguous for array in arrays.values())
    for array in arrays.values():
        array.flags.writeable = False
    target = build(seed=2)
    models.arrays_to_state(target, arrays)
    assert same(source, target)


def test_state_to_arrays_does_not_follow_the_network():
    model = build()
    arrays = models.state_to_arrays(model)
    before = arrays["head.bias"].copy()
    with torch.no_grad():
        model.head.bias += 1
    assert np.array_equal(arrays["head.bias"], before)


def test_arrays_to_state_lists_all_faults_and_changes_nothing():
    model = build(seed=1)
    arrays = models.state_to_arrays(build(seed=2))
    arrays["head.biass"] = arrays.pop("head.bias")
    arrays["head.weight"] = arrays["head.weight"][:, :3]
    arrays["features.0.weight"] = arrays["features.0.weight"].astype(np.float16)
    with pytest.raises(LearningError) as caught:
        models.arrays_to_state(model, arrays)
    assert str(caught.value).split("\n  ")[1:] == [
        "features.0.weight must be float32 (4, 1, 3, 3); got float16 (4, 1, 3, 3)",
        "head.weight must be float32 (5, 16); got float32 (5, 3)",
        "head.bias must be there; did you mean 'head.biass'?",
        "head.biass must not be there: the network has no such weights",
    ]
    assert same(model, build(seed=1))


def test_as_tensor_shares_what_is_writeable_and_copies_what_is_not():
    array = np.arange(6.0).reshape(2, 3)
    models.as_tensor(array)[0, 0] = 9
    assert array[0, 0] == 9
    array.flags.writeable = False
    models.as_tensor(array)[0, 0] = 5
    assert array[0, 0] == 9
    assert torch.equal(models.as_tensor(array[::-1]), torch.tensor([[3.0, 4, 5], [9, 1, 2]], dtype=torch.float64))


def test_as_tensor_reads_a_memory_map(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(3, dtype=np.uint8))
    assert models.as_tensor(np.load(tmp_path / "array.npy", mmap_mode="r")).tolist() == [0, 1, 2]
