"""Slopes that are differentiated again: all derivatives are PyTorch's own, and none is worked out in vain."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.gans import GAN, GANConfig, slopes
from course_lib.gans.losses import gradient_penalty, r1
from course_lib.gans.slopes import TwiceDifferentiable
from tests.unit.proof import generator, rejects

# nn.Conv2d's arguments and the size of the images
CONVOLUTIONS = {
    "padded": ({"kernel_size": 3, "padding": 1}, (5, 4)),
    "strided": ({"kernel_size": 4, "stride": 2, "padding": 1}, (6, 8)),
    "rows left out": ({"kernel_size": 3, "stride": 3, "padding": 0, "bias": False}, (7, 8)),
    "odd": ({"kernel_size": 4, "stride": 2, "padding": 1}, (7, 5)),
    "grouped": (
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1), "dilation": (2, 1), "groups": 2},
        (6, 5),
    ),
    "by name": ({"kernel_size": 3, "padding": "same"}, (4, 4)),  # PyTorch's own remains
    "reflected": ({"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, (4, 5)),
}
every_convolution = pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
every_order = pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])


def layer_and_images(case, order):
    torch.manual_seed(0)
    arguments, size = case
    layer = nn.Conv2d(2, 4, **arguments, dtype=torch.float64).to(memory_format=order)
    x = torch.randn(2, 2, *size, dtype=torch.float64).to(memory_format=order)
    return layer, x.requires_grad_()


def within(function):
    """The function of images and weights, computed within `TwiceDifferentiable`."""

    def faster(*arguments):
        with TwiceDifferentiable():
            return function(*arguments)

    return faster


def check_derivatives(function, inputs):
    assert gradcheck(function, inputs, raise_exception=False)
    assert gradgradcheck(function, inputs, raise_exception=False)


def as_function(layer):
    """The layer as a function of the images and of its weights."""
    names = [name for name, _ in layer.named_parameters()]
    return lambda x, *weights: torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))


@every_order
@every_convolution
def test_convolutions_have_pytorchs_values_and_both_derivatives(case, order):
    layer, x = layer_and_images(case, order)
    ours, inputs = within(as_function(layer)), (x, *layer.parameters())
    assert torch.equal(ours(*inputs), layer(x))
    assert ours(*inputs).is_contiguous(memory_format=order)
    check_derivatives(ours, inputs)
    # curved, so that gradients flow through the first derivatives with respect to the weights too
    check_derivatives(lambda *inputs: ours(*inputs).tanh(), inputs)


@pytest.mark.parametrize("slope", [0.2, 0.01, 0.0])
@pytest.mark.parametrize("inplace", [False, True])
def test_leaky_relus_have_pytorchs_values_and_both_derivatives(slope, inplace):
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).requires_grad_()
    layer = nn.LeakyReLU(slope, inplace)
    ours = within(lambda x: layer(x * 1))
    assert torch.equal(ours(x), layer(x * 1))
    check_derivatives(lambda x: ours(x.sin() * 2).square(), (x,))
    zero = torch.zeros(3, requires_grad=True)  # at the kink, PyTorch's one of the two slopes
    assert torch.equal(*(torch.autograd.grad(f(zero).sum(), zero)[0] for f in (ours, nn.LeakyReLU(slope))))


def test_wrong_derivatives_are_noticed(monkeypatch):
    def check(wrong):
        part, name, version = wrong
        with monkeypatch.context() as patch:
            patch.setattr(part, name, staticmethod(version))
            layer, x = layer_and_images(CONVOLUTIONS["odd"], torch.contiguous_format)
            ours = within(lambda *inputs: F.leaky_relu(as_function(layer)(*inputs), 0.2).tanh())
            check_derivatives(ours, (x, *layer.parameters()))

    def constant_slope(part):
        right = part.backward
        return part, "backward", lambda ctx, slope: right(ctx, slope.detach())

    weights = slopes._OfWeights
    right = weights.forward
    check((weights, "forward", right))
    for part in (slopes._OfInput, weights, slopes._LeakyReLU):
        assert rejects(check, constant_slope(part))
    # the weights' gradient would not depend on the images
    constant_images = lambda ctx, w, b, x, *rest: right(ctx, w, b, [x[0].detach()], *rest)  # noqa: E731
    assert rejects(check, (weights, "forward", constant_images))


class Calls(TorchDispatchMode):
    """Counts convolutions, their backward passes and leaky ReLUs' backward passes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("convolution", "convolution_backward", "leaky_relu_backward"):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def critic(dtype=torch.float64, **config):
    torch.manual_seed(0)
    D = GAN(GANConfig(width=4, normalise=False, **config)).D.to(dtype)
    return D.to(memory_format=torch.channels_last)


def pairs(D, n=3):
    c, r, _ = D.cfg.image_shape
    shape = (2, n, c, r, r)
    return torch.randn(*shape, generator=generator(), dtype=next(D.parameters()).dtype).tanh().unbind()


def test_a_penalty_costs_three_more_passes_through_the_critic():
    D = critic(refine=2)

    def check(penalty):
        with Calls() as calls:
            penalty(D, *pairs(D), generator()).mean().backward()
        layers = sum(isinstance(part, nn.Conv2d) for part in D.modules())
        # forward and slope; then both gradients of each slope; twice through the ReLUs
        assert calls.found.count("convolution") == 2 * layers
        assert calls.found.count("convolution_backward") == layers
        assert calls.found.count("leaky_relu_backward") == 2 * layers

    check(gradient_penalty)
    check(r1)
    assert rejects(check, plain(gradient_penalty))


def plain(penalty):
    """The penalty by PyTorch's own second derivatives."""

    def by_pytorch(D, *rest):
        faster, slopes.FASTER = slopes.FASTER, {}
        try:
            return penalty(D, *rest)
        finally:
            slopes.FASTER = faster

    return by_pytorch


@pytest.mark.parametrize("penalty", [gradient_penalty, r1])
@pytest.mark.parametrize("config", [{"refine": 2}, {"resolution": 20, "colours": 3}])
def test_penalties_of_critics_have_pytorchs_gradients(penalty, config):
    D = critic(**config)

    def gradients_by(penalty):
        model = copy.deepcopy(D)
        value = penalty(model, *pairs(D), generator()).mean()
        value.backward()
        return value, {name: weight.grad for name, weight in model.named_parameters() if weight.dim() > 1}

    def check(penalty_):
        value, found = gradients_by(penalty_)
        assert torch.allclose(value, expected_value, rtol=1e-12)
        for name, gradient in expected.items():
            assert gradient.abs().max() > 0
            assert torch.allclose(found[name], gradient, rtol=1e-9, atol=1e-12), name

    expected_value, expected = gradients_by(plain(penalty))
    check(penalty)
    assert rejects(check, lambda *inputs: penalty(*inputs) * 1.001)


def test_biases_and_frozen_weights_have_no_gradient():
    """Biases do not change the slope; PyTorch has zeros for their gradients, after a pass through the critic."""
    D = critic()
    D.features[0].weight.requires_grad_(False)
    gradient_penalty(D, *pairs(D), generator()).mean().backward()
    assert D.features[0].weight.grad is None and D.features[0].bias.grad is None
    assert D.features[2].weight.grad is not None


def test_outside_of_it_functions_are_pytorchs_own():
    x = torch.randn(1, 1, 4, 4, requires_grad=True)
    layer = nn.Sequential(nn.Conv2d(1, 1, 3), nn.LeakyReLU(0.2))
    within(layer)(x)
    assert type(layer(x).grad_fn).__name__ == "LeakyReluBackward0"
    assert type(within(layer)(x).grad_fn).__name__ == "_LeakyReLUBackward"
