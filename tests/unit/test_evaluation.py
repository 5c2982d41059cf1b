"""Looking at a model leaves it as it was, and gives the numbers of eval mode whatever mode it is in."""

import pytest
import torch
from torch import nn

from course_lib import data, vae, zoo
from course_lib.evaluation import accuracy, batched, device_of, evaluating
from course_lib.gans import GAN, GANConfig
from course_lib.vq import VQVAE
from tests.unit.proof import generator


def a_model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
    ).train()


def test_evaluating_restores_each_part_even_after_an_error():
    model = a_model()
    model[2].eval()  # a frozen normalisation within a model that is trained
    modes = [part.training for part in model.modules()]
    with evaluating(model):
        assert not any(part.training for part in model.modules())
        assert not torch.is_grad_enabled()
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(RuntimeError), evaluating(model):
        model(torch.zeros(2, 5))
    assert [part.training for part in model.modules()] == modes
    assert torch.is_grad_enabled()


def test_batched_is_in_eval_mode_and_moves_no_statistics():
    model, x = a_model(), torch.randn(9, 4, generator=generator())
    mean = model[2].running_mean.clone()
    found = batched(model, x, batch=2)  # a rest of one image would be an error in training mode
    assert torch.equal(model[2].running_mean, mean)
    assert model.training
    torch.testing.assert_close(found, model.eval()(x).detach())


def test_batched_knows_the_model_behind_a_method():
    ae = VQVAE().train()
    x = data.mnist("test")[0][:5]
    assert torch.equal(batched(ae.encode, x), batched(ae.eval().encode, x))
    assert device_of(ae).type == "cpu"
    assert device_of(lambda x: x).type == "cpu"


def test_accuracy_that_raises_leaves_the_model_in_training_mode():
    model = a_model()
    with pytest.raises(RuntimeError):
        accuracy(model, torch.zeros(3, 5), torch.zeros(3, dtype=torch.long))
    assert model.training


@pytest.mark.parametrize("name", ["vae_mnist_20", "vae_two_level"])
def test_bounds_and_samples_of_a_model_in_training_mode_are_those_of_eval_mode(name):
    """They were 250 instead of 82 nats, and the model's statistics were spoilt by it."""
    model = zoo.load(name)
    x = vae.binarize(data.mnist("test")[0][:40], generator())
    statistics = {key: value.clone() for key, value in model.state_dict().items()}

    def numbers():
        return (
            vae.elbo(model, x, generator(1)).elbo,
            vae.iwae(model, x[:4], 5, generator(2)),
            model.sample(4, generator(3)),
        )

    expected = numbers()
    model.train().requires_grad_(True)
    for found, wanted in zip(numbers(), expected):
        assert torch.equal(found, wanted)
        assert not found.requires_grad
    assert all(torch.equal(model.state_dict()[key], value) for key, value in statistics.items())
    assert model.training


def test_samples_of_a_gan_have_no_graph():
    gan = GAN(GANConfig(width=2, latent=3)).train()
    assert not gan.sample(3, generator()).requires_grad
    assert gan.G.training


def test_reconstructions_teach_the_encoder_of_a_vq_vae():
    """Forward had no gradient to the encoder: only the decoder learnt, without a word."""
    model, x = VQVAE(), data.mnist("test")[0][:4]
    (model(x) - x).square().mean().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in model.encoder.parameters())
    torch.testing.assert_close(model.eval()(x), model.decode(model.encode(x)))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_models_losses_work_under_bfloat16(mode):
    x = data.mnist("test")[0][:8]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = [
            VQVAE().train(mode == "train").terms(x).reconstruction,
            -vae.VAE().train(mode == "train").terms(vae.binarize(x, generator()), generator(1)).elbo.mean(),
        ]
    for loss in losses:
        loss.backward()
        assert bool(loss.isfinite())
