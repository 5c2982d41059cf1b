"""What a VQGAN adds: patches, the weight λ against other computations of it, and a training that can be resumed."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import data, features
from course_lib.recipes import tokenizers
from course_lib.recipes.tokenizers import Rival
from course_lib.training import Runtime, fit
from course_lib.training.resume import Snapshots
from course_lib.vq import VQVAE, PatchConfig, PatchDiscriminator, VQVAEConfig, adaptive_weight
from tests.unit.proof import generator, rejects

SMALL = VQVAEConfig(resolution=16, colours=3, channels=8, codes=8, dimensions=4, halvings=3)


def pictures(n=24, size=16, seed=0):
    return F.interpolate(2 * torch.rand(n, 3, 4, 4, generator=generator(seed)) - 1, size=size)


def model_of(rt, seed=0):
    torch.manual_seed(seed)
    return rt.place(VQVAE(SMALL))


# ---- more halvings


@pytest.mark.parametrize(("halvings", "side"), [(2, 4), (3, 2), (4, 1)])
def test_each_halving_makes_the_grid_of_tokens_smaller(halvings, side):
    model = VQVAE(dataclasses.replace(SMALL, halvings=halvings)).eval()
    x = pictures(3)
    assert model.grid == (side, side)
    assert model.encode(x).shape == (3, side, side)
    terms = model.terms(x)
    assert terms.images.shape == x.shape
    assert torch.equal(terms.images, model(x))
    assert float(terms.reconstruction.detach()) == pytest.approx(
        float((terms.images.detach() - x).square().sum()) / 3, rel=1e-5
    )


def test_with_two_halvings_it_is_the_model_of_chapter_7():
    assert [tuple(w.shape) for w in VQVAE().decoder.parameters()][-2:] == [(32, 1, 4, 4), (1,)]
    assert set(VQVAE().state_dict()) >= {"encoder.6.weight", "decoder.4.bias"}
    with pytest.raises(ValueError, match="multiple of 8"):
        VQVAEConfig(resolution=28, halvings=3)


# ---- patches


@pytest.mark.parametrize(("halvings", "patch"), [(1, 8), (2, 18), (3, 38)])
def test_a_logit_depends_on_its_patch_alone(halvings, patch):
    D = PatchDiscriminator(PatchConfig(width=4, halvings=halvings))
    assert D.patch == patch
    x = torch.randn(2, 3, 64, 64, generator=generator()).requires_grad_()
    logits = D(x)
    side = 64 // 2**halvings
    assert logits.shape == (2, side, side)
    (slope,) = torch.autograd.grad(logits[1, side // 2, side // 2], x)
    assert float(slope[0].abs().max()) == 0
    for axis in (1, 2):
        touched = slope[1].abs().amax([0, 3 - axis]).nonzero().flatten()
        assert int(touched.max() - touched.min()) + 1 == patch


def test_a_patch_discriminator_says_what_it_expects():
    with pytest.raises(ValueError, match="images of shape"):
        PatchDiscriminator()(torch.zeros(2, 1, 16, 16))
    with pytest.raises(ValueError, match="width"):
        PatchConfig(width=0)
    cfg = PatchConfig(width=8)
    assert PatchConfig(**json.loads(json.dumps(dataclasses.asdict(cfg)))) == cfg


# ---- the weight λ


def layers():
    """A decoder's last layer, what comes before it, and the two losses of what it makes."""
    torch.manual_seed(0)
    h = torch.randn(6, 5, dtype=torch.float64)
    last = nn.Parameter(torch.randn(4, 5, dtype=torch.float64))
    target, judge = torch.randn(6, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)

    def losses(w):
        made = (h @ w.T).tanh()
        return (made - target).square().mean(), -(made @ judge).tanh().mean()

    return last, losses


def numerical(last, losses, which, step=1e-6):
    """The norm of a loss's gradient by central differences."""
    total = 0.0
    with torch.no_grad():
        for i in range(last.numel()):
            move = torch.zeros(last.numel(), dtype=torch.float64)
            move[i] = step
            up, down = (float(losses(last + s * move.view_as(last))[which]) for s in (1, -1))
            total += ((up - down) / (2 * step)) ** 2
    return total**0.5


def check_weight(weight):
    last, losses = layers()
    expected = numerical(last, losses, 0) / numerical(last, losses, 1)
    found = weight(*losses(last), last)
    assert not found.requires_grad
    assert float(found) == pytest.approx(expected, rel=1e-4)
    for factor in (3.0, 1e-2):  # both scale it as they should
        reconstruction, adversarial = losses(last)
        assert float(weight(factor * reconstruction, adversarial, last)) == pytest.approx(
            factor * expected, rel=1e-3
        )
        reconstruction, adversarial = losses(last)
        assert float(weight(reconstruction, factor * adversarial, last)) == pytest.approx(
            expected / factor, rel=1e-3
        )


def norms(reconstruction, adversarial, last):
    return [torch.autograd.grad(part, last, create_graph=True)[0] for part in (reconstruction, adversarial)]


def turned_round(*arguments):
    a, b = norms(*arguments)
    return (b.norm() / a.norm()).detach()


def of_squares(*arguments):
    a, b = norms(*arguments)
    return (a.square().sum() / b.square().sum()).detach()


def of_losses(reconstruction, adversarial, last):
    return (reconstruction / adversarial.abs()).detach()


def not_detached(*arguments):
    a, b = norms(*arguments)
    return a.norm() / b.norm()


def test_the_weight_is_the_ratio_of_the_gradients_at_the_last_layer():
    check_weight(adaptive_weight)
    for wrong in (turned_round, of_squares, of_losses, not_detached):
        assert rejects(check_weight, wrong)


def test_weighted_both_losses_pull_the_last_layer_equally_hard_and_the_graph_is_still_there():
    last, losses = layers()
    reconstruction, adversarial = losses(last)
    weight = adaptive_weight(reconstruction, adversarial, last)
    (reconstruction + weight * adversarial).backward()
    a, b = (torch.autograd.grad(part, last, retain_graph=True)[0] for part in losses(last))
    assert torch.allclose(last.grad, a + b * a.norm() / b.norm(), rtol=1e-4)


def test_a_discriminator_that_says_nothing_is_not_heard_infinitely_loudly():
    last, losses = layers()
    reconstruction, adversarial = losses(last)
    assert float(adaptive_weight(reconstruction, 0 * adversarial, last)) == 1e4
    last, losses = layers()
    reconstruction, adversarial = losses(last)
    assert float(adaptive_weight(reconstruction, 0 * adversarial, last, most=3.0)) == 3.0


# ---- the training


def trained(rt, images=160, stop=None, start=40, half_life=64.0):
    """A small VQGAN without the perceptual distance; the model and its rival."""
    model, x = model_of(rt), pictures()
    rival = Rival(rt, model, start=start, half_life=half_life)

    def loss(minibatch):
        if stop is not None and rival._seen == stop:
            raise KeyboardInterrupt
        terms = model.terms(minibatch)
        reconstruction = terms.reconstruction / x[0].numel()
        return reconstruction + terms.commitment + rival.term(
            minibatch, terms.images, reconstruction, model.decoder[-1].weight
        )  # fmt: skip

    stream = data.Stream(x, batch=8, generator=rt.generator(1))
    fit(rt, model, stream, loss, images=images, batch=8, lr=1e-3, what="t", quiet=True, watch=rival)
    return model, rival


def test_the_discriminator_joins_in_at_the_start_and_not_before():
    torch.manual_seed(0)
    first = PatchDiscriminator().state_dict()  # `model_of` draws first; only whether it moves is compared
    _, late = trained(Runtime("gpu", "cpu", seed=0), images=160, start=10_000)
    assert all(w.grad is None for w in late.D.parameters())
    assert late.optimizer.state == {}
    _, rival = trained(Runtime("gpu", "cpu", seed=0), images=160, start=80)
    steps = {int(state["step"]) for state in rival.optimizer.state.values()}
    assert steps == {11}  # after 80, 88 … 160 images
    assert len(rival.optimizer.state) == len(first)


def test_each_step_moves_one_player_only():
    """The autoencoder's loss leaves no gradient in the discriminator, the discriminator's none in the autoencoder."""
    rt = Runtime("gpu", "cpu", seed=0)
    model, x = model_of(rt), pictures(8)
    rival = Rival(rt, model, start=0, half_life=10.0)
    terms = model.terms(x)
    rival.term(x, terms.images, terms.reconstruction, model.decoder[-1].weight).backward()
    assert all(w.grad is None for w in rival.D.parameters())
    assert float(model.encoder[0].weight.grad.abs().sum()) > 0
    before = {key: w.clone() for key, w in model.state_dict().items()}
    model.zero_grad()
    was = {key: w.clone() for key, w in rival.D.state_dict().items()}
    rival(8)
    assert all(torch.equal(w, before[key]) for key, w in model.state_dict().items())
    assert all(w.grad is None for w in model.parameters())
    assert all(not torch.equal(w, was[key]) for key, w in rival.D.state_dict().items() if "weight" in key)


def test_the_discriminator_learns_to_tell_and_the_term_to_be_small_where_it_is_fooled():
    rt = Runtime("gpu", "cpu", seed=0)
    model = model_of(rt)
    rival = Rival(rt, model, start=0, half_life=10.0)
    real, fake = torch.ones(8, 3, 16, 16), -torch.ones(8, 3, 16, 16)
    for step in range(60):
        rival._pairs.append((real, fake))
        rival(8 * (step + 1))
    logits = [float(rival.D(x).detach().mean()) for x in (real, fake)]
    assert logits[0] > 0 > logits[1]


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path):
    def run(folder, resume=False, stop=None):
        kept = Snapshots(tmp_path / folder, {"recipe": "t"}, resume=resume)
        model, rival = trained(Runtime("gpu", "cpu", seed=0, snapshots=kept), stop=stop)
        return {**model.state_dict(), **{f"D.{key}": w for key, w in rival.D.state_dict().items()}}, rival

    whole, rival = run("one")
    with pytest.raises(KeyboardInterrupt):
        run("two", stop=104)
    resumed, again = run("two", resume=True)
    assert all(torch.equal(w, resumed[key]) for key, w in whole.items())
    average = again.average.average.state_dict()
    assert all(torch.equal(w, average[key]) for key, w in rival.average.average.state_dict().items())


def test_the_two_tokenisers_are_one_architecture_on_the_same_faces():
    plain, rich = (tokenizers.RECIPES[name] for name in ("vq_avatars", "vqgan_avatars"))
    assert plain.all_settings()["images"] == rich.all_settings()["images"]
    assert plain.all_settings()["faces"] == rich.all_settings()["faces"]
    assert VQVAE(tokenizers.TOKENS).grid == (8, 8)


def test_the_perceptual_network_stays_as_it_is():
    """In eval mode, frozen, its averages unmoved, with a gradient to the images."""
    seen = features.perceptual()
    modules = list(seen.layers.modules.values())
    assert not any(part.training for module in modules for part in module.modules())
    net = nn.ModuleList(modules)
    assert not any(w.requires_grad for w in net.parameters())
    before = {key: w.clone() for key, w in net.state_dict().items()}
    x, y = pictures(2, 64), pictures(2, 64, 1).requires_grad_()
    seen(x, y).mean().backward()
    assert float(y.grad.abs().sum()) > 0
    assert all(torch.equal(w, before[key]) for key, w in net.state_dict().items())


def test_perfect_reconstructions_score_perfectly():
    """A tokeniser that gives back what it was given; and one that gives everybody the same face."""
    x, _ = data.avatars(400, 64, seed=1, progress=False)

    class Copy(nn.Module):
        cfg = tokenizers.TOKENS

        def encode(self, x):
            self.shown = self.shown if hasattr(self, "shown") else []
            return torch.arange(len(x) * 64).view(-1, 8, 8) % 256

        def decode(self, tokens):
            self.at = getattr(self, "at", 0) + len(tokens)
            return x[self.at - len(tokens) : self.at]

    scores = {key: score["value"] for key, score in tokenizers.score_avatar_tokens(Copy(), 400).items()}
    assert scores["MSE"] == scores["distance of features"] == 0
    assert scores["Fréchet distance, avatars"] == pytest.approx(0, abs=1e-3)
    assert scores["glasses kept"] > 0.98 and scores["expression kept"] > 0.8

    class Same(Copy):
        def decode(self, tokens):
            return x[:1].expand(len(tokens), -1, -1, -1)

    scores = {key: score["value"] for key, score in tokenizers.score_avatar_tokens(Same(), 400).items()}
    assert scores["expression kept"] < 0.2
    assert scores["distance of features"] > 1


def test_the_perceptual_loss_is_the_distance_in_single_precision():
    distance = features.perceptual()
    x, y = (torch.rand(3, 3, 48, 48, generator=generator(seed)) * 2 - 1 for seed in (0, 1))
    y.requires_grad_()
    loss = distance.loss(x, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), distance(x, y), rtol=1e-4, atol=1e-6)
    (a,) = torch.autograd.grad(loss.sum(), y)
    (b,) = torch.autograd.grad(distance(x, y).sum(), y)
    assert float((a - b).norm() / b.norm()) < 1e-3
