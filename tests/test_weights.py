"""backbone.weights: checkpoints with torchvision's keys load; everything else is refused whole."""

import collections
import hashlib
import http.client
import logging
import pickle
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backbone.resnet import ResNet, ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from backbone.unet import UNetModel
from backbone.variants import BottleneckV1, PlainBlock
from backbone.weights import CHECKPOINTS, DownloadError, load_torchvision, reading

MAKERS = {
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
    "resnet152": ResNet152,
}


def trained(make=ResNet18, num_classes=7, width=8, **arguments):
    """A state_dict with torchvision's keys in which no value, statistics included, is a default."""
    state = make(num_classes, width=width, **arguments).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(value.shape, generator=generator) + 0.5
        if value.is_floating_point()
        else value + 3
        for name, value in state.items()
    }


def small(num_classes=7, **arguments):
    return ResNet18(num_classes, width=8, **arguments)


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(state, other):
    assert list(state) == list(other)
    different = [name for name in state if not torch.equal(state[name], other[name])]
    assert not different


def refused(model, source, error=ValueError):
    """Load, expect a refusal, check that not one value of the model changed; return the message."""
    before = snapshot(model)
    with pytest.raises(error) as caught:
        load_torchvision(model, source)
    assert_same(before, model.state_dict())
    print(f"{type(caught.value).__name__}: {caught.value}")
    return str(caught.value)


# --- what loads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_depth_loads_strictly_and_computes_the_same(make):
    state = trained(make)
    source, model = make(7, width=8), make(7, width=8)
    source.load_state_dict(state)
    report = load_torchvision(model, state)
    print(report)
    assert_same(state, model.state_dict())
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert report.kept == report.notes == ()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), source.eval()(x))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("as_type", [str, Path])
def test_files_load(tmp_path, suffix, as_type):
    state, path = trained(), tmp_path / f"checkpoint{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    model = small()
    report = load_torchvision(model, as_type(path))
    print(report)
    assert torch.equal(model.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])
    assert report.source == str(path)


WRAPPED = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 90, "best": 0.7},
    "model": lambda state: {"model": state, "optimizer": {}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "both": lambda state: {"state_dict": {f"module.{name}": v for name, v in state.items()}},
    "ordered": collections.OrderedDict,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("from_file", [False, True])
def test_wrapped_checkpoints_are_unwrapped(tmp_path, wrap, from_file):
    state, model = trained(), small()
    source = wrap(state)
    if from_file:
        torch.save(source, tmp_path / "wrapped.pth")
        source = tmp_path / "wrapped.pth"
    load_torchvision(model, source)
    assert_same(state, model.state_dict())


def test_the_source_is_not_changed():
    state = {f"module.{name}": value for name, value in trained().items()}
    before = {name: value.clone() for name, value in state.items()}
    model = small()
    load_torchvision(model, state)
    with torch.no_grad():
        model.fc.weight.zero_()
    assert_same(before, state)


@pytest.mark.parametrize("from_module", [False, True])
def test_old_checkpoints_without_step_counters_load(from_module):
    state = trained()
    if from_module:  # a state_dict with version metadata, which load_state_dict judges more harshly
        source = small()
        source.load_state_dict(state)
        state = source.state_dict()
    for name in [name for name in state if name.endswith("num_batches_tracked")]:
        del state[name]
    model = small()
    report = load_torchvision(model, state)
    print(f"{len(model.state_dict()) - len(state)} counters absent; {report}")
    assert torch.equal(model.bn1.running_mean, state["bn1.running_mean"])
    assert report.kept == ()


def test_mode_type_and_gradients_of_the_model_stay():
    model = small().double().eval()
    load_torchvision(model, trained())
    assert not model.training
    assert model.conv1.weight.dtype == torch.float64
    assert all(p.requires_grad for p in model.parameters())


# --- another task -------------------------------------------------------------------------------


def test_another_number_of_classes_keeps_the_head_and_says_so(caplog):
    state, model = trained(num_classes=1000), small(num_classes=10)
    before = snapshot(model)
    with caplog.at_level(logging.WARNING, logger="backbone.weights"):
        report = load_torchvision(model, state)
    print(report)
    after = model.state_dict()
    assert report.kept == ("fc.weight", "fc.bias")
    for name in after:
        assert torch.equal(after[name], before[name] if name in report.kept else state[name])
    assert len(caplog.messages) == 1
    assert "1000 classes" in caplog.messages[0]
    assert "num_classes=1000" in caplog.messages[0]
    assert caplog.messages[0] in str(report)
    head = model.fc.weight.numel() + model.fc.bias.numel()
    assert report.parameters == sum(p.numel() for p in model.parameters()) - head


def test_another_number_of_channels_keeps_the_first_layer_and_says_so(caplog):
    state, model = trained(), small(in_channels=1)
    before = snapshot(model)
    report = load_torchvision(model, state)
    print(report)
    assert report.kept == ("conv1.weight",)
    assert torch.equal(model.conv1.weight, before["conv1.weight"])
    assert torch.equal(model.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    assert "in_channels=3" in caplog.messages[0]


def test_the_advice_for_grey_images_works():
    model = small()
    load_torchvision(model, trained())
    assert model.eval()(torch.rand(2, 1, 32, 32).expand(-1, 3, -1, -1)).shape == (2, 7)


def test_strides_that_the_weights_do_not_carry_are_mentioned(caplog):
    state = trained(ResNet50)
    model = ResNet(BottleneckV1, [3, 4, 6, 3], num_classes=7, width=8)
    report = load_torchvision(model, state)
    print(report)
    assert "BottleneckV1" in caplog.messages[0]
    caplog.clear()
    load_torchvision(ResNet50(7, width=8), state)
    assert not caplog.messages


# --- what is refused, and leaves the model alone -------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("resnet50", "resnet18"), ("resnet34", "resnet50"), ("resnet18", "resnet152")],
)
def test_another_depth_is_named(theirs, ours):
    message = refused(MAKERS[ours](7, width=8), trained(MAKERS[theirs]))
    assert MAKERS[theirs].__name__ in message.split("but the model is")[0]
    assert MAKERS[ours].__name__ in message.split("but the model is")[1]
    assert f'"{ours}"' in message


def test_a_depth_without_a_name_is_described():
    def odd(*arguments, **named):
        return ResNet(PlainBlock, [1, 2, 1, 1], *arguments, **named)

    assert "[1, 2, 1, 1]" in refused(small(), trained(odd))


def test_another_width_is_named():
    message = refused(small(), trained(width=16))
    assert "width=16" in message
    assert "width=8" in message


def test_missing_and_unknown_layers_are_named():
    state = trained()
    del state["layer3.1.bn2.weight"]
    state["extra.weight"] = torch.zeros(1)
    message = refused(small(), state)
    assert "layer3.1.bn2.weight" in message
    assert "extra.weight" in message


def test_plain_networks_have_no_place_for_the_shortcuts():
    model = ResNet(PlainBlock, [2, 2, 2, 2], num_classes=7, width=8)
    assert "layer2.0.downsample.0.weight" in refused(model, trained())


def test_a_variant_of_the_same_depth_is_refused():
    state = trained(ResNet50)
    state["layer1.0.conv2.weight"] = state["layer1.0.conv2.weight"].repeat(2, 1, 1, 1)
    message = refused(ResNet50(7, width=8), state)
    assert "layer1.0.conv2.weight (16, 8, 3, 3) there, (8, 8, 3, 3) here" in message


@pytest.mark.parametrize(("ours", "theirs"), [("downsample", "shortcut"), ("fc.", "linear.")])
def test_the_other_naming_leads_to_the_exercise(ours, theirs):
    state = {name.replace(ours, theirs): value for name, value in trained().items()}
    message = refused(small(), state)
    assert theirs.rstrip(".") in message
    assert "Convert a checkpoint" in message
    assert "resnet-implementation" in message


def test_weights_of_another_network_are_recognised():
    assert "encode_layer1" in refused(small(), UNetModel(init_features=2).state_dict())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "empty"),
        ({"epoch": 3}, "'epoch'"),
        ({"state_dict": {"conv1.weight": [1.0]}}, "'conv1.weight'"),
        ({"net": {"conv1.weight": torch.zeros(1)}}, "checkpoint['…']"),
        (nn.Linear(2, 2), "model.state_dict()"),
        (18, "int"),
    ],
    ids=["empty", "numbers", "lists", "deeper", "model", "number"],
)
def test_what_is_no_checkpoint_is_refused(source, words):
    assert words in refused(small(), source, TypeError)


@pytest.mark.parametrize("model", [nn.Linear(2, 2), UNetModel(init_features=2)])
def test_what_is_no_resnet_is_refused(model):
    assert type(model).__name__ in refused(model, trained(), TypeError)


def test_unknown_names_and_missing_files(tmp_path):
    message = refused(small(), "vgg16")
    assert all(name in message for name in CHECKPOINTS)
    assert "nothing.pth" in refused(small(), tmp_path / "nothing.pth", FileNotFoundError)
    assert "resnet-18" in refused(small(), "resnet-18", FileNotFoundError)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "changed head"])
def test_damaged_files_are_refused(tmp_path, suffix, damage):
    path = tmp_path / f"checkpoint{suffix}"
    if suffix == ".safetensors":
        save_file(trained(), path)
    else:
        torch.save(trained(), path)
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "empty": b"",
            "text": b"<!DOCTYPE html><title>Not found</title>",
            "changed head": b"\xff" * 16 + content[16:],
        }[damage]
    )
    message = refused(small(), path)
    assert "damaged" in message
    assert str(path) in message


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_a_checkpoint_cannot_run_code(tmp_path):
    trap, harmful = tmp_path / "was-here", Harmful()
    harmful.path = str(trap)
    torch.save({"state_dict": trained(), "extra": harmful}, tmp_path / "trap.pth")
    assert "could run any code" in refused(small(), tmp_path / "trap.pth")
    assert not trap.exists()


# --- the network --------------------------------------------------------------------------------


def publish(state, folder, name="resnet18"):
    """Save a checkpoint the way torchvision publishes it: the hash is part of the name."""
    path = folder / "new.pth"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(folder / f"{name}-{digest[:8]}.pth")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch.hub cache."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A ResNet-18 in full width, as a published file."""
    return publish(trained(num_classes=1000, width=64), tmp_path_factory.mktemp("server"))


def test_addresses_are_torchvision_s_and_carry_a_hash():
    for name, url in CHECKPOINTS.items():
        print(name, url)
        server, _, file = url.rpartition("/")
        assert server == "https://download.pytorch.org/models"
        assert torch.hub.HASH_REGEX.search(file)
        assert file.startswith(f"{name}-")
    assert set(CHECKPOINTS) == set(MAKERS)


def test_download_by_name_and_again_from_the_cache(hub, published, monkeypatch):
    monkeypatch.setitem(CHECKPOINTS, "resnet18", published.as_uri())
    model = ResNet18(num_classes=1000)
    report = load_torchvision(model, "ResNet18", progress=False)
    print(report)
    assert report.parameters == 11_689_512
    assert (hub / published.name).is_file()
    monkeypatch.setattr(torch.hub, "urlopen", lambda *_: pytest.fail("asked the network again"))
    again = ResNet18(num_classes=1000)
    load_torchvision(again, "resnet18")
    assert_same(model.state_dict(), again.state_dict())


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_offline(hub, url):
    message = refused(ResNet18(), "resnet18", DownloadError)
    assert message.count(". ") == 0  # one sentence
    assert url in message
    assert str(hub / url.rpartition("/")[2]) in message
    assert not list(hub.glob("*"))  # nothing half-loaded on disk either


def test_refused_connection(hub, monkeypatch):
    url = f"http://127.0.0.1:{closed_port()}/resnet18-f37072fd.pth"
    monkeypatch.setitem(CHECKPOINTS, "resnet18", url)
    check_offline(hub, url)
    assert issubclass(DownloadError, ConnectionError)


@pytest.mark.parametrize(
    "error",
    [TimeoutError("timed out"), ConnectionResetError("reset"), http.client.IncompleteRead(b"", 9)],
    ids=lambda error: type(error).__name__,
)
def test_interrupted_connection(hub, monkeypatch, error):
    def interrupted(*_):
        raise error

    monkeypatch.setattr(torch.hub, "urlopen", interrupted)
    check_offline(hub, CHECKPOINTS["resnet18"])


def test_the_advice_for_working_offline_works(hub, published, monkeypatch):
    url = f"http://127.0.0.1:{closed_port()}/{published.name}"
    monkeypatch.setitem(CHECKPOINTS, "resnet18", url)
    message = refused(ResNet18(num_classes=1000), "resnet18", DownloadError)
    target = Path(message.partition("save it as ")[2].rstrip("."))
    target.write_bytes(published.read_bytes())
    print(load_torchvision(ResNet18(num_classes=1000), "resnet18"))


@pytest.fixture
def server():
    """A local web server that answers every request with `server.content`, or else with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.server.content else 404)
            self.end_headers()
            self.wfile.write(self.server.content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.content = b""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_lacks_the_file(hub, server, monkeypatch):
    url = f"http://127.0.0.1:{server.server_port}/resnet18-f37072fd.pth"
    monkeypatch.setitem(CHECKPOINTS, "resnet18", url)
    check_offline(hub, url)


def test_a_download_with_another_hash_is_refused(hub, server, published, monkeypatch):
    server.content = published.read_bytes()[:-100]
    url = f"http://127.0.0.1:{server.server_port}/{published.name}"
    monkeypatch.setitem(CHECKPOINTS, "resnet18", url)
    message = refused(ResNet18(), "resnet18")
    assert "damaged" in message
    assert url in message
    assert not list(hub.glob("*"))


def test_a_damaged_file_in_the_cache_is_refused(hub, published, monkeypatch):
    monkeypatch.setitem(CHECKPOINTS, "resnet18", published.as_uri())
    hub.mkdir(parents=True)
    (hub / published.name).write_bytes(published.read_bytes()[:-100])
    message = refused(ResNet18(), "resnet18")
    assert str(hub / published.name) in message
    assert "Delete it" in message


def test_a_downloaded_checkpoint_cannot_run_code(hub, tmp_path, monkeypatch):
    trap, harmful = tmp_path / "was-here", Harmful()
    harmful.path = str(trap)
    monkeypatch.setitem(CHECKPOINTS, "resnet18", publish({"extra": harmful}, tmp_path).as_uri())
    refused(ResNet18(), "resnet18", pickle.UnpicklingError)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("model", "name", "words"),
    [(ResNet18(), "resnet50", "ResNet18"), (small(), "resnet18", "width=64")],
    ids=["depth", "width"],
)
def test_what_cannot_fit_is_not_downloaded(hub, monkeypatch, model, name, words):
    monkeypatch.setattr(reading.torch.hub, "urlopen", lambda *_: pytest.fail("downloaded"))
    assert words in refused(model, name)


def test_without_the_package_safetensors_the_error_says_what_to_install(tmp_path, monkeypatch):
    save_file(trained(), tmp_path / "checkpoint.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        load_torchvision(small(), tmp_path / "checkpoint.safetensors")
