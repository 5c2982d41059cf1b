"""Does the pretended GPU behave? What a real one does works, and what a real one refuses raises the same error."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

MIXED = "Expected all tensors to be on the same device"


@pytest.fixture
def x(kind):
    return torch.randn(4, 3, device=kind)


@pytest.fixture
def w(kind):
    return torch.randn(3, 3, device=kind)


def here(t, kind):
    return t.device == torch.device(kind, 0)


# ---- what works


def test_results_stay_on_the_device(x, w, kind):
    for result in (x * 2 + 1, x @ w, F.softmax(x, 1), x * torch.tensor(2.0), x[torch.tensor([0, 2])]):
        assert here(result, kind)
    assert here(torch.where(x > 0, x, torch.tensor(0.0)), kind)
    assert here(torch.linalg.cholesky(w @ w.T + torch.eye(3, device=kind)), kind)


def test_numbers_survive_the_journey(kind):
    x = torch.randn(4, 3)
    assert torch.equal(x.to(kind).cpu(), x)
    assert torch.equal(torch.empty(4, 3, device=kind).copy_(x).cpu(), x)
    assert (x.to(kind) @ x.to(kind).T).cpu().allclose(x @ x.T)
    assert x.to(kind).tolist() == x.tolist()


def test_views_share_memory(x):
    x.view(12)[3:5].zero_()
    assert float(x[1, 0]) == 0.0


def test_random_numbers_are_seeded_and_are_not_the_cpus(kind):
    def draw(device):
        return torch.randn(5, device=device, generator=torch.Generator(device).manual_seed(3)).cpu()

    assert torch.equal(draw(kind), draw(kind))
    assert not torch.equal(draw(kind), draw("cpu"))
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append((torch.rand(3, device=kind), F.dropout(torch.ones(50, device=kind))))
    assert all(torch.equal(a, b) for a, b in zip(*drawn))


def test_a_network_with_a_gradient_penalty_has_the_cpus_gradients(kind):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 8, 3),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.ConvTranspose2d(8, 4, 4, 2),
        nn.Flatten(),
        nn.Linear(4 * 14 * 14, 1),
    )
    images, grads = torch.randn(2, 3, 16, 16), []
    for device in ("cpu", kind):
        model, x = copy.deepcopy(net).to(device), images.to(device).requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (slope.flatten(1).norm(2, 1) - 1).square().mean().backward()
        grads.append([p.grad.cpu() for p in model.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 5
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads))


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_optimisers_step_and_keep_their_state(make, kind):
    p = nn.Parameter(torch.ones(3, device=kind))
    optimizer = make([p], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        p.square().sum().backward()
        optimizer.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert float(p.detach().sum()) < 3


def test_attention_differentiates(kind):
    q = torch.randn(2, 4, 6, 8, device=kind, requires_grad=True)
    F.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward()
    assert here(q.grad, kind)


def test_tensors_are_saved_with_their_place(x, kind):
    file = io.BytesIO()
    torch.save({"x": x}, file)
    for wanted, arguments in ((kind, {}), ("cpu", {"map_location": "cpu"})):
        file.seek(0)
        again = torch.load(file, **arguments)["x"]
        assert again.device.type == wanted
        assert torch.equal(again.cpu(), x.cpu())


def test_autocast_computes_in_half_precision(x, kind):
    with torch.autocast(kind, dtype=torch.bfloat16):
        assert nn.Linear(3, 2).to(kind)(x).dtype == torch.bfloat16


def test_the_rest_of_torch_believes_it(x, kind):
    assert getattr(torch, kind if kind == "cuda" else "backends").__name__
    assert torch.cuda.is_available() == (kind == "cuda")
    assert torch.backends.mps.is_available() == (kind == "mps")
    assert kind in repr(x)
    assert nn.Linear(2, 2, device=kind).load_state_dict(nn.Linear(2, 2).state_dict())


def test_kernels_and_waits_are_counted(x):
    from counting import counting

    with counting() as seen:
        (x + 1).sum().item()
    assert (seen["kernels"], seen["waits"]) == (2, 1)


# ---- what a GPU refuses


@pytest.mark.parametrize(
    "mix",
    [
        lambda g, c: g + c,
        lambda g, c: g @ c.T,
        lambda g, c: nn.Linear(3, 2)(g),
        lambda g, c: torch.cat([g, c]),
        lambda g, c: F.cross_entropy(c, torch.zeros(4, dtype=torch.long, device=g.device)),
        lambda g, c: torch.zeros(()).add_(g.sum()),
    ],
    ids=["sum", "product", "a model on the CPU", "cat", "labels on the device", "into a CPU tensor"],
)
def test_two_devices_do_not_mix(mix, x):
    with pytest.raises(RuntimeError, match=MIXED):
        mix(x, torch.randn(4, 3))


def test_a_convolution_on_the_cpu_refuses_images_on_the_device(kind):
    with pytest.raises(RuntimeError):
        nn.Conv2d(1, 1, 3)(torch.ones(1, 1, 5, 5, device=kind))


def test_indices_on_the_device_do_not_index_a_cpu_tensor(x, kind):
    for index in (torch.tensor([0, 1], device=kind), x > 0):
        with pytest.raises(RuntimeError, match="indices should be"):
            torch.randn(4, 3)[index]


def test_numpy_is_refused(x, kind):
    for convert in (lambda t: t.numpy(), np.asarray):
        with pytest.raises(TypeError, match=f"can't convert {kind}:0 device type tensor to numpy"):
            convert(x)


def test_generators_belong_to_their_device(x, kind):
    wrong = [
        lambda: torch.randn(3, device=kind, generator=torch.Generator()),
        lambda: torch.multinomial(x.abs(), 1, generator=torch.Generator()),
        lambda: torch.randn(3, generator=torch.Generator(kind)),
    ]
    for draw in wrong:
        with pytest.raises(RuntimeError, match="device type for generator"):
            draw()
    with pytest.raises(RuntimeError, match="wrong size"):
        torch.Generator(kind).set_state(torch.Generator().get_state())


def test_cuda_has_float64_and_lacks_products_of_whole_numbers(x, kind):
    if kind != "cuda":
        pytest.skip("of CUDA")
    assert here(x.double(), kind)
    whole = torch.ones(2, 2, dtype=torch.long, device=kind)
    with pytest.raises(NotImplementedError, match="addmm_cuda"):
        whole @ whole
    with pytest.raises(NotImplementedError, match="aten::histogram"):
        torch.histogram(x, 3)


def test_apple_has_no_float64(x, w, kind):
    if kind != "mps":
        pytest.skip("of MPS")
    assert x.cpu().double().dtype == torch.float64
    assert here(torch.zeros(2, device=kind).copy_(torch.ones(2, dtype=torch.float64)), kind)
    refused = [
        lambda: x.double(),
        lambda: x.sum(dtype=torch.float64),
        lambda: torch.from_numpy(np.ones(3)).to(kind),
    ]
    for use in refused:
        with pytest.raises(TypeError, match="float64"):
            use()
    # In one step the cast is done on the device; some versions of PyTorch leave the numbers unwritten without a word.
    for use in (lambda: x.to("cpu", torch.float64), lambda: torch.zeros(4, 3, dtype=torch.float64).copy_(x)):
        with pytest.raises(TypeError, match="Undefined type Double"):
            use()
    with pytest.raises(NotImplementedError, match="not currently implemented for the MPS"):
        torch.linalg.eigvals(w)
