"""Networks of libraries and of the user, their last layers, and weights from files."""

import re
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stages.learning import model_files, model_names, models
from stages.learning.errors import LearningError
from stages.learning.models import pretrained

FACTORY = """
from torch import nn

def make(*, classes, channels, image_size):
    n_pixels = channels * image_size[0] * image_size[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(n_pixels, 6), nn.ReLU(), nn.Linear(6, classes))

def none(**task): return 3
def picky(**task): raise ValueError("only on Sundays")
"""


def build(name, size=(32, 32), **options):
    return models.build(name, **({"classes": 5, "channels": 3, "image_size": size} | options))


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of the user's, as `python:NAME`."""
    (tmp_path / "users_nets.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "python:users_nets"
    sys.modules.pop("users_nets", None)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_registered_names_are_those_of_the_library(library):
    module = pytest.importorskip(library)
    listed = module.list_models() if library == "timm" else module.models.list_models(module=module.models)
    assert set(model_names.registered(library)) == set(listed)


def test_a_library_that_is_not_there_registers_nothing():
    assert model_names.registered("no_such_library") == ()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("cnm", "must be one of cnn, mlp, .* or python:MODULE:FACTORY; got 'cnm'; did you mean 'cnn'"),
        ("wrn-40-3", "got 'wrn-40-3'; did you mean 'wrn-40-"),
        (
            "torchvison:resnet18",
            "must begin with one of torchvision, timm, python before a colon; .* mean 'torchvision'",
        ),
        ("torchvision:resnet19", r"must be one of torchvision's 80 .* models; got 'resnet19'; did you mean 'resnet1"),
        ("timm:resnet19", r"must be one of timm's \d+ classification models; got 'resnet19'; did you mean 'resnet"),
        ("python:nets", "must be python:MODULE:FACTORY, such as python:my.nets:make; got 'python:nets'"),
    ],
)
def test_names_that_are_none_are_refused(name, fault):
    with pytest.raises(ValueError, match=fault):
        model_names.parse(name)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("torchvision:resnet18", "fc"),
        ("torchvision:mobilenet_v3_small", "classifier.3"),
        ("torchvision:googlenet", "fc"),
        ("torchvision:vit_b_32", "heads.head"),
        ("timm:resnet10t", "fc"),
        ("timm:vit_tiny_patch16_224", "head"),
        ("resnet8", "head"),
    ],
)
def test_networks_take_images_and_end_in_their_head(name, head):
    channels = 1 if name == "torchvision:mobilenet_v3_small" else 3
    model = build(name, channels=channels)
    images = torch.rand(2, channels, 32, 32)
    models.check(model, images, 5)
    models.check_head(model, images)
    found, weight, bias = models.head_weights(model, models.state_to_arrays(model))
    assert found == head
    assert (weight.shape[0], bias.shape) == (5, (5,))


def test_weights_of_a_library_come_from_the_seed_alone():
    first, second = (build("torchvision:shufflenet_v2_x0_5", seed=3) for _ in range(2))
    assert all(
        torch.equal(*pair) for pair in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "size", "fault"),
    [
        ("torchvision:alexnet", (32, 32), "network must take two images of 32 x 32 pixels and 3 channels; got: Given"),
        (
            "torchvision:vit_b_16",
            (20, 20),
            "model torchvision:vit_b_16 must be made for 5 classes and images of 20 x 20",
        ),
        ("torchvision:maxvit_t", (32, 32), "maxvit_t must be made for .* 32 x 32 x 3; got: Input size"),
    ],
)
def test_images_that_a_network_cannot_take_are_refused(name, size, fault):
    with pytest.raises(LearningError, match=fault):
        models.check(build(name, size), torch.rand(2, 3, *size), 5)


def test_last_layer_that_is_not_linear_is_refused_for_teachers_alone():
    model = build("torchvision:squeezenet1_1")
    models.check(model, torch.rand(2, 3, 32, 32), 5)
    assert models.find_head(model) is None
    with pytest.raises(
        LearningError, match="or whose logits are shifted, must end in one linear layer; got none in Squ"
    ):
        models.head_of(model)


def test_last_layer_without_a_bias_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    with pytest.raises(LearningError, match="must have a bias; got none in 1"):
        models.head_weights(model, models.state_to_arrays(model))


def test_linear_layer_that_does_not_make_the_logits_is_no_head():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    with pytest.raises(LearningError, match="last linear layer of a network must make its logits; 1 does not"):
        models.check_head(model, torch.rand(2, 1, 2, 2))


def test_networks_that_return_no_logits_are_refused():
    with pytest.raises(LearningError, match=r"return logits, torch.float32 \(2, 3\); got torch.float32 \(2, 4\)"):
        models.check(nn.Flatten(), torch.rand(2, 1, 2, 2), 3)

    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    with pytest.raises(LearningError, match=r"return logits, torch.float32 \(2, 3\); got tuple"):
        models.check(Pair(), torch.rand(2, 1, 2, 2), 3)


def test_factories_are_called_with_the_task(nets):
    model = build(f"{nets}:make", (4, 4), channels=1)
    models.check(model, torch.rand(2, 1, 4, 4), 5)
    assert models.head_of(model) == "3"


@pytest.mark.parametrize(
    ("factory", "fault"),
    [
        ("mak", "module users_nets must have a function mak; got none; did you mean 'make'"),
        ("none", "users_nets:none must return a torch module; got int"),
        ("picky", "model python:users_nets:picky must be made for 5 classes and .*; got: only on Sundays"),
    ],
)
def test_factories_that_make_no_network_are_refused(nets, factory, fault):
    with pytest.raises(LearningError, match=fault):
        build(f"{nets}:{factory}")


def test_files_of_a_network_are_its_code_and_its_weights(nets, tmp_path):
    weights = tmp_path / "net.safetensors"
    assert model_files.digest("cnn", None) is None
    assert model_files.stamp("torchvision:resnet18", None) is None
    code = model_files.digest(f"{nets}:make", None)
    weights.write_bytes(b"1")
    with_weights = model_files.digest(f"{nets}:make", weights)
    weights.write_bytes(b"2")
    assert len({code, with_weights, model_files.digest(f"{nets}:make", weights)}) == 3
    assert [entry["path"] for entry in model_files.stamp(f"{nets}:make", weights)] == [
        str(tmp_path / "users_nets.py"),
        str(weights),
    ]


def test_files_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"")
    with pytest.raises(LearningError, match=r"weights must be a file; got none at .*/nett.pth; did you mean 'net.pth'"):
        model_files.stamp("cnn", tmp_path / "nett.pth")
    with pytest.raises(LearningError, match=r"ends in one of .safetensors, .pth, .pt, .bin; got .*net.onnx"):
        model_files.stamp("cnn", tmp_path / "net.onnx")
    with pytest.raises(LearningError, match="module no_such_nets must be one that Python can import"):
        model_files.digest("python:no_such_nets:make", None)


def cnn(classes=5, channels=3, seed=0):
    return models.build("cnn", classes=classes, channels=channels, image_size=(8, 8), width=4, seed=seed)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_are_loaded_from_a_file(tmp_path, ending):
    source, target = cnn(seed=1), cnn(seed=2)
    path = tmp_path / f"net.{ending}"
    if ending == "pth":
        state = {f"module.{name}": tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        save_file(source.state_dict(), path)
    models.load_weights(target, path)
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in source.state_dict().items())


def test_weights_for_other_classes_leave_the_last_layer_as_it_is(tmp_path):
    source, target = cnn(classes=9, seed=1), cnn(seed=2)
    save_file(source.state_dict(), tmp_path / "net.safetensors")
    models.load_weights(target, tmp_path / "net.safetensors")
    assert torch.equal(target.head.weight, cnn(seed=2).head.weight)
    assert torch.equal(target.features[0].weight, source.features[0].weight)


def test_published_weights_of_squeezenet_fit_other_classes(tmp_path):
    source, target = (
        build("torchvision:squeezenet1_1", classes=1000, seed=1),
        build("torchvision:squeezenet1_1", seed=2),
    )
    torch.save(source.state_dict(), tmp_path / "net.pth")
    models.load_weights(target, tmp_path / "net.pth")
    assert target.classifier[1].out_channels == 5
    assert torch.equal(target.features[0].weight, source.features[0].weight)
    with pytest.raises(LearningError, match=r"classifier\.1\.bias must be of the shape \(5,\); got \(1000,\)"):
        models.load_weights(target, tmp_path / "net.pth", whole=True)


def test_published_weights_of_densenet_have_the_names_of_then(tmp_path):
    source, target = (build("torchvision:densenet121", seed=seed) for seed in (1, 2))
    as_then = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.(?:weight|bias|running_mean|running_var))$")
    state = {as_then.sub(r"\1.\2", name): tensor for name, tensor in source.state_dict().items() if "num_" not in name}
    assert "features.denseblock1.denselayer1.norm.1.running_var" in state
    torch.save(state, tmp_path / "net.pth")
    models.load_weights(target, tmp_path / "net.pth")
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in source.state_dict().items())


class Inception(nn.Module):
    """As torchvision's, made with or without its heads of training."""

    def __init__(self, has_heads):
        super().__init__()
        self.AuxLogits = nn.Linear(4, 9) if has_heads else None
        self.aux1 = nn.Linear(4, 9) if has_heads else None
        self.fc = nn.Linear(4, 5)


def test_heads_of_training_are_left_out_of_published_weights(tmp_path):
    source, target = Inception(has_heads=True), Inception(has_heads=False)
    torch.save(source.state_dict(), tmp_path / "net.pth")
    models.load_weights(target, tmp_path / "net.pth")
    assert torch.equal(target.fc.weight, source.fc.weight)
    same = Inception(has_heads=True)
    models.load_weights(same, tmp_path / "net.pth")
    assert torch.equal(same.aux1.weight, source.aux1.weight)
    with pytest.raises(LearningError, match=r"AuxLogits.bias must not be there: the network has no such weights"):
        models.load_weights(nn.Sequential(), tmp_path / "net.pth")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_makes_networks_without_their_heads_of_training(name):
    library = pytest.importorskip("torchvision").models
    with torch.device("meta"):
        whole, without = (
            library.get_model(name, weights=None, aux_logits=has_heads, init_weights=False)
            for has_heads in (True, False)
        )
    spare = {weight.partition(".")[0] for weight in whole.state_dict().keys() - without.state_dict().keys()}
    assert spare == {name for name in pretrained._AUXILIARY if getattr(without, name, 0) is None} != set()


def test_weights_for_other_channels_see_grey_as_they_saw_grey_in_colour(tmp_path):
    colour, grey = cnn(channels=3, seed=1).eval(), cnn(channels=1, seed=2).eval()
    save_file(colour.state_dict(), tmp_path / "net.safetensors")
    models.load_weights(grey, tmp_path / "net.safetensors")
    images = torch.rand(4, 1, 8, 8)
    assert torch.allclose(grey(images), colour(images.expand(-1, 3, -1, -1)), atol=1e-6)
    again = cnn(channels=3, seed=3).eval()
    save_file(grey.state_dict(), tmp_path / "grey.safetensors")
    models.load_weights(again, tmp_path / "grey.safetensors")
    assert torch.allclose(again(images.expand(-1, 3, -1, -1)), grey(images), atol=1e-6)


def test_weights_of_another_network_are_refused_with_all_faults(tmp_path):
    state = cnn(seed=1).state_dict()
    state["features.4.weight"] = state["features.4.weight"][:2].clone()
    state["features.00.weight"] = state.pop("features.0.weight")
    save_file(state, tmp_path / "net.safetensors")
    target = cnn(seed=2)
    with pytest.raises(LearningError) as caught:
        models.load_weights(target, tmp_path / "net.safetensors")
    assert str(caught.value).split("\n  ")[1:] == [
        "features.0.weight must be there; did you mean 'features.00.weight'?",
        "features.00.weight must not be there: the network has no such weights",
        "features.4.weight must be of the shape (8, 4, 3, 3); got (2, 4, 3, 3)",
    ]
    assert torch.equal(target.features[0].weight, cnn(seed=2).features[0].weight)


def test_weights_of_quite_another_network_are_listed_in_part(tmp_path):
    save_file(build("resnet14").state_dict(), tmp_path / "net.safetensors")
    file = tmp_path / "net.safetensors"
    with pytest.raises(LearningError) as caught:
        models.load_weights(cnn(), file, of="the network that is meant", hint="; name another")
    lacking = "none of features.4.weight, features.5.weight, features.5.bias and 7 more"
    held = "features.3.0.body.0.weight, features.3.0.body.1.bias, features.3.0.body.1.num_batches_tracked and 81 more"
    told = f"{file} must hold weights of the network that is meant; got {lacking}, but {held}; name another"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("file", "network", "told"),
    [
        ([], [nn.Linear(1, 1)] * 5, "got none of 0.weight, 0.bias, 1.weight and 7 more"),
        ([nn.Linear(1, 1)] * 5, [], "got 0.bias, 0.weight, 1.bias and 7 more, which the network does not have"),
    ],
)
def test_file_of_fewer_or_of_more_layers_is_told_by_these(tmp_path, file, network, told):
    torch.save(nn.Sequential(*file).state_dict(), tmp_path / "net.pth")
    with pytest.raises(LearningError, match=f"{told}$"):
        models.load_weights(nn.Sequential(*network), tmp_path / "net.pth", whole=True)


class Answer(nn.Module):
    """Says the same of every image; in evaluation alone what is said then."""

    def __init__(self, said, in_evaluation=None):
        super().__init__()
        self.said, self.in_evaluation = said, said if in_evaluation is None else in_evaluation

    def forward(self, images):
        return torch.tensor([self.said if self.training else self.in_evaluation] * len(images))


@pytest.mark.parametrize(
    "network",
    [
        Answer([0.2, 0.8, 0.0]),
        Answer([0.2, 0.8005, 0.0]),
        Answer([1.0, 2.0, 3.0], in_evaluation=[0.2, 0.8, 0.0]),
        nn.Sequential(nn.Flatten(), nn.LazyLinear(3), nn.Softmax(dim=1)),
    ],
)
def test_network_that_returns_probabilities_is_refused(network):
    told = "network must return logits; got probabilities, rows that sum to 1; leave the softmax at its end out"
    with pytest.raises(LearningError, match=f"^{told}$"):
        models.check(network, torch.rand(2, 3, 8, 8), 3)


@pytest.mark.parametrize("said", [[0.0, 0.0, 0.0], [0.2, 0.9, -0.1], [0.2, 0.81, 0.0], [-0.7, -1.6, -1.2]])
def test_logits_are_not_taken_for_probabilities(said):
    models.check(Answer(said), torch.rand(2, 3, 8, 8), 3)
    models.check(nn.Sequential(Answer(said), nn.LogSoftmax(dim=1)), torch.rand(2, 3, 8, 8), 3)


OF_TORCH = r"must hold tensors and nothing else that torch.save wrote, or be named .safetensors and be of that format"


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (
            "net.safetensors",
            b"none",
            "must be a whole file of safetensors; got one that begins with b'none', damaged or",
        ),
        ("net.safetensors", b"", "must be a whole file of safetensors; got an empty file$"),
        ("net.pth", b"<html>", f"{OF_TORCH}; got one that begins with b'<html>', damaged or of something else: save"),
        ("net.pth", b"", f"{OF_TORCH}; got an empty file: save the state_dict"),
        ("net.pth", b"\x80\x02garbage", f"{OF_TORCH}; got one that begins with"),
        ("net.pth", b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00}.", f"{OF_TORCH}; got one that begins with"),
        ("net.pth", b"a\n", f"{OF_TORCH}; got one that begins with"),
        ("net.pth", {"weights": print}, rf"{OF_TORCH}; got print in it: save"),
        ("net.pth", {"epoch": 3}, "must hold tensors by name; got dict"),
        ("gone.pth", None, "must be a file that can be read; got: No such file"),
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, name, content, fault):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content:
        torch.save(content, tmp_path / name)
    with pytest.raises(LearningError, match=fault) as refused:
        models.load_weights(cnn(), tmp_path / name)
    assert "weights_only" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_shifted_logits_weigh_the_classes():
    model = cnn(seed=1).eval()
    images = torch.rand(4, 3, 8, 8)
    before = model(images).softmax(dim=1).detach()
    shares = np.array([0.5, 0.2, 0.1, 0.1, 0.1])
    models.shift_logits(model, np.log(shares))
    weighed = before * torch.from_numpy(shares)
    assert torch.allclose(model(images).softmax(dim=1).double(), weighed / weighed.sum(1, keepdim=True), atol=1e-6)


def test_logits_of_a_network_without_a_last_bias_cannot_be_shifted():
    with pytest.raises(
        LearningError, match="whose logits are shifted must have a bias for each class; got none in Linear"
    ):
        models.shift_logits(nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)), np.zeros(3))
    with pytest.raises(LearningError, match="must have a bias for each class"):
        models.shift_logits(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), np.zeros(3))
