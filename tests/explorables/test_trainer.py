"""The page's own trainer beside PyTorch: the same numbers, derivative by derivative."""

import numpy as np
import pytest
import torch
from parity import JS
from torch.nn import functional as F

from backbone.cifar_resnet import CifarResNet
from backbone.data import digits
from backbone.explorables.degradation_player import BATCH, PICTURES, TRAINING

KINDS = {"plain": None, "residual": "A"}
PAIRS = [pytest.param(d, k, id=f"{k}-{d}") for d in (8, 20) for k in KINDS]

# Runs in the page: a network with the given weights, one batch, one or more steps.
COMPARE = """({ settings, values, x, y, double, steps }) => {
  const { Network, crossEntropy } = makeTrainer();
  const net = new Network(settings, double ? Float64Array : Float32Array);
  for (const { name, value } of net.parameters) value.set(values[name]);
  const n = settings.batch, pixels = settings.side ** 2;
  const input = new (double ? Float64Array : Float32Array)(n * pixels);
  for (let i = 0; i < n; i++) for (let p = 0; p < pixels; p++) input[p * n + i] = x[i * pixels + p];
  const pick = (what) =>
    Object.fromEntries(net.parameters.map((p) => [p.name, { shape: p.shape, data: [...p[what]] }]));
  const answer = { losses: [] };
  for (let k = 0; k <= steps; k++) {
    const scores = net.forward(input);
    const { loss, wrong, dy } = crossEntropy(scores, y, settings.classes);
    net.backward(dy);
    answer.losses.push(loss);
    if (k === 0) Object.assign(answer, { scores: [...scores], wrong, gradients: pick("gradient") });
    if (k < steps) net.learn(0.05, 0.9, 0.01);
  }
  return { ...answer, values: pick("value") };
}"""


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.add_script_tag(content=(JS / "trainer.js").read_text("utf-8").replace("export ", "", 1))
    yield page
    page.close()


def settings(depth, kind, **more):
    return {**TRAINING, "depth": depth, "shortcut": kind == "residual", "seed": 0, **more}


def relative(ours, theirs):
    """Largest difference beside the largest number."""
    theirs = theirs.detach().double()
    ours = torch.as_tensor(ours, dtype=torch.float64).view(theirs.shape)
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30)).item()


def both(page, depth, kind, double=True, steps=0, width=8):
    """Train the same network in the page and in PyTorch; return the page's answer and theirs."""
    torch.manual_seed(0)
    net = CifarResNet(depth, KINDS[kind], in_channels=1, width=width).train()
    for name, p in net.named_parameters():  # batch norms that are not those of a fresh network
        if "bn" in name:
            p.data += 0.3 * torch.randn_like(p)
    train = digits("train")
    x, y = train.images[:BATCH], train.labels[:BATCH]
    if double:
        net, x = net.double(), x.double()
    answer = page.evaluate(
        COMPARE,
        {
            "settings": settings(depth, kind, width=width),
            "values": {n: p.detach().flatten().tolist() for n, p in net.named_parameters()},
            "x": x.flatten().tolist(),
            "y": y.tolist(),
            "double": double,
            "steps": steps,
        },
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    theirs = {"losses": []}
    for k in range(steps + 1):
        scores = net(x)
        loss = F.cross_entropy(scores, y)
        optimizer.zero_grad()
        loss.backward()
        theirs["losses"].append(loss.item())
        if k == 0:
            theirs["scores"] = scores.detach().T  # (classes, images), as in the page
            theirs["wrong"] = (scores.argmax(1) != y).sum().item()
            theirs["gradients"] = {n: p.grad.clone() for n, p in net.named_parameters()}
        if k < steps:
            optimizer.step()
    theirs["values"] = dict(net.named_parameters())
    return answer, theirs


@pytest.mark.parametrize(("depth", "kind"), PAIRS)
def test_gradients_are_those_of_pytorch(page, depth, kind):
    ours, theirs = both(page, depth, kind)
    assert list(ours["gradients"]) == list(theirs["gradients"])  # same names, same order
    errors = {}
    for name, gradient in theirs["gradients"].items():
        assert ours["gradients"][name]["shape"] == list(gradient.shape)
        errors[name] = relative(ours["gradients"][name]["data"], gradient)
    worst = max(errors, key=errors.get)
    scores = relative(ours["scores"], theirs["scores"])
    loss = abs(ours["losses"][0] / theirs["losses"][0] - 1)
    print(f"double: gradients {errors[worst]:.1e} ({worst}), scores {scores:.1e}, loss {loss:.1e}")
    assert max(errors.values()) < 1e-11
    assert scores < 1e-11
    assert loss < 1e-12
    assert ours["wrong"] == theirs["wrong"]


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_as_the_page_uses_it(page, kind):
    ours, theirs = both(page, 20, kind, double=False)
    errors = [relative(ours["gradients"][n]["data"], g) for n, g in theirs["gradients"].items()]
    print(f"single: gradients {max(errors):.1e}, loss {ours['losses'][0]} {theirs['losses'][0]}")
    assert max(errors) < 1e-4
    assert ours["losses"][0] == pytest.approx(theirs["losses"][0], rel=1e-5)


def test_another_width(page):
    ours, theirs = both(page, 14, "residual", width=12)
    errors = [relative(ours["gradients"][n]["data"], g) for n, g in theirs["gradients"].items()]
    print(f"width 12: {max(errors):.1e}")
    assert max(errors) < 1e-11


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_of_sgd(page, kind, steps):
    """Momentum shows from the second step on, weight decay in every one."""
    ours, theirs = both(page, 8, kind, steps=steps)
    errors = [relative(ours["values"][n]["data"], v) for n, v in theirs["values"].items()]
    print(f"{steps} steps: weights {max(errors):.1e}, losses {ours['losses']}")
    assert max(errors) < 1e-11
    assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-9)
    assert len(set(ours["losses"])) == steps + 1


@pytest.mark.parametrize("steps", [20, 100, 260])
def test_learning_rate_is_that_of_fit(page, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=steps, pct_start=0.3, cycle_momentum=False
    )
    theirs = []
    for _ in range(steps):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step() if len(theirs) < steps else None
    ours = page.evaluate(
        "(n) => Array.from({ length: n }, (_, k) => makeTrainer().learningRate(k, n, 0.1))", steps
    )
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert max(ours) == pytest.approx(0.1)


START = """({ settings, seeds }) => seeds.map((seed) => {
  const { Network } = makeTrainer();
  return new Network({ ...settings, seed }).parameters.map(({ name, value }) => [name, [...value]]);
})"""


def test_initial_weights(page):
    """He's, as in CifarResNet; plain and residual start equal; seeds differ."""
    start = [
        {name: np.array(v) for name, v in net}
        for kind in KINDS
        for net in page.evaluate(START, {"settings": settings(20, kind), "seeds": [0, 1]})
    ]
    plain, other, residual, _ = start
    assert all((plain[n] == residual[n]).all() for n in plain)
    assert (plain["conv1.weight"] != other["conv1.weight"]).all()
    for name in ("layer1.1.conv1.weight", "layer2.0.conv1.weight", "layer3.2.conv2.weight"):
        torch.manual_seed(0)
        theirs = dict(CifarResNet(20, None, in_channels=1, width=8).named_parameters())[name]
        wanted = (2 / (9 * theirs.shape[0])) ** 0.5
        print(
            f"{name}: mean {plain[name].mean():.4f}, std {plain[name].std():.4f}, He {wanted:.4f}"
        )
        assert plain[name].std() == pytest.approx(wanted, rel=0.12)
        assert theirs.std().item() == pytest.approx(wanted, rel=0.12)
        assert abs(plain[name].mean()) < 4 * wanted / plain[name].size ** 0.5
    assert np.abs(plain["fc.weight"]).max() <= 32**-0.5
    assert (plain["bn1.weight"] == 1).all()
    assert (plain["bn1.bias"] == 0).all()


TRAIN = """({ settings, pictures, labels }) => {
  const [x, y] = [pictures, labels].map((numbers) => Uint8Array.from(numbers));
  return [...makeTrainer().train(settings, x, y)];
}"""


def trained(page, depth, kind, count=PICTURES, **more):
    train = digits("train")
    pictures = (train.images[:count] * 16).round().byte().flatten().tolist()
    return page.evaluate(
        TRAIN,
        {
            "settings": settings(depth, kind, **more),
            "pictures": pictures,
            "labels": train.labels[:count].tolist(),
        },
    )


@pytest.mark.parametrize(("depth", "kind"), PAIRS)
def test_training_lowers_the_loss(page, depth, kind):
    reports = trained(page, depth, kind, epochs=3)
    losses = np.array([r["loss"] for r in reports]).reshape(3, -1).mean(1)
    wrong = np.array([r["wrong"] for r in reports]).reshape(3, -1).mean(1) / BATCH
    print(f"{kind}-{depth}: loss {losses.round(3)}, error {wrong.round(3)}")
    assert [r["step"] for r in reports] == list(range(1, 31))
    assert losses[2] < 0.85 * losses[0]
    assert wrong[2] < 0.75 * wrong[0]
    assert all(np.isfinite(r["gradient"]) and r["gradient"] > 0 for r in reports)


def test_the_phenomenon(page):
    """Plain-32 stays behind ResNet-32, and its first gradient explodes at the start."""
    plain, residual = (trained(page, 32, kind, epochs=5) for kind in KINDS)
    ends = [np.mean([r["loss"] for r in run[-10:]]) for run in (plain, residual)]
    first = [run[0]["gradient"] for run in (plain, residual)]
    print(f"loss of the last epoch: plain {ends[0]:.3f}, residual {ends[1]:.3f}")
    print(f"first gradient: plain {first[0]:.1f}, residual {first[1]:.1f}")
    assert ends[0] > 2 * ends[1]
    assert first[0] > 3 * first[1]


def test_a_seed_is_a_run(page):
    one, same, other = (trained(page, 8, "plain", epochs=1, seed=s) for s in (3, 3, 4))
    assert one == same
    assert one != other
    assert len(one) == PICTURES // BATCH


def test_chance(page):
    """Every picture once an epoch, in another order each time; bell curve and even numbers."""
    orders, normal, even = page.evaluate(
        """() => {
          const { dice, shuffled } = makeTrainer();
          const chance = dice(7);
          const many = (draw) => Array.from({ length: 20000 }, draw);
          const orders = [shuffled(500, chance), shuffled(500, chance)];
          return [orders, many(chance.normal), many(chance.even)];
        }"""
    )
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(500))
    same = sum(a == b for a, b in zip(*orders, strict=True))
    print(f"{same} pictures at the same place; normal {np.mean(normal):.3f} ± {np.std(normal):.3f}")
    assert same < 10
    assert abs(np.mean(normal)) < 0.03
    assert np.std(normal) == pytest.approx(1, abs=0.03)
    assert np.mean(np.abs(normal) < 1) == pytest.approx(0.683, abs=0.02)
    assert np.histogram(even, 10, (0, 1))[0] == pytest.approx(2000, rel=0.1)


def test_left_over_pictures_are_refused(page):
    """A last batch of two would spoil batch norm: see the chapter."""
    with pytest.raises(Exception, match="52 pictures do not fill batches of 50"):
        trained(page, 8, "plain", count=52)
