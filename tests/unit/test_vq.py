"""Vector quantisation: nearest codes, both losses and their gradients, and the codebook as a moving average."""

import dataclasses
import json
import math

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans

from course_lib.vq import VQVAE, VectorQuantizer, VQVAEConfig, perplexity
from tests.unit.proof import generator, rejects


def grid(rows):
    """Vectors (M, d) as an encoder's output (1, d, 1, M)."""
    return rows.T.reshape(1, rows.shape[1], 1, len(rows)).contiguous()


def place(quantizer, codes):
    """Put the codes there, as if each had been used once."""
    with torch.no_grad():
        quantizer.codebook.copy_(codes)
        if quantizer.decay is not None:
            quantizer.count.fill_(1.0)
            quantizer.total.copy_(codes)
    return quantizer


# ---- lookup


def test_the_nearest_code_is_that_of_a_brute_force_search():
    quantizer = VectorQuantizer(23, 5, generator=generator(1))
    z_e = 2 * torch.randn(3, 5, 4, 6, generator=generator())

    def check(nearest):
        distance = torch.cdist(z_e.permute(0, 2, 3, 1).double(), quantizer.codebook.double())
        assert torch.equal(nearest(z_e), distance.argmin(-1))

    check(quantizer.nearest)
    # by the angle alone, as a dot product without the codes' lengths
    assert rejects(check, lambda z: (z.permute(0, 2, 3, 1) @ quantizer.codebook.T).argmax(-1))
    # the channels read in the wrong order
    assert rejects(check, lambda z: quantizer.nearest(z.permute(0, 2, 3, 1).reshape(3, 5, 4, 6)))


def test_codes_are_their_own_nearest():
    quantizer = VectorQuantizer(12, 4, generator=generator(3)).eval()
    tokens = torch.randint(12, (2, 3, 5), generator=generator())
    vectors = quantizer.lookup(tokens)
    assert vectors.shape == (2, 4, 3, 5)
    assert torch.equal(vectors[1, :, 2, 4], quantizer.codebook[tokens[1, 2, 4]])
    assert torch.equal(quantizer.nearest(vectors), tokens)
    q = quantizer(vectors)
    assert torch.equal(q.tokens, tokens)
    assert torch.equal(q.quantized, vectors)
    assert float(q.commitment) == 0


# ---- losses


def straight(z_e, codebook):
    """Quantised vectors (N, d, H, W) and nothing else."""
    tokens = torch.cdist(z_e.permute(0, 2, 3, 1), codebook).argmin(-1)
    return codebook[tokens].permute(0, 3, 1, 2)


def library(z_e, codebook):
    quantizer = VectorQuantizer(*codebook.shape, decay=None).to(codebook.dtype)
    del quantizer.codebook
    quantizer.codebook = codebook
    q = quantizer(z_e)
    return q.codebook, q.commitment


def swapped(z_e, codebook):
    z_q = straight(z_e, codebook)
    squared = lambda a, b: (a - b).square().sum(1).mean()  # noqa: E731
    return squared(z_e, z_q.detach()), squared(z_e.detach(), z_q)


def after_the_straight_through_step(z_e, codebook):
    z_q = straight(z_e, codebook)
    z_q = z_e + (z_q - z_e).detach()
    squared = lambda a, b: (a - b).square().sum(1).mean()  # noqa: E731
    return squared(z_e.detach(), z_q), squared(z_e, z_q.detach())


def without_stops(z_e, codebook):
    z_q = straight(z_e, codebook)
    return ((z_e - z_q).square().sum(1).mean(),) * 2


def mean_over_dimensions(z_e, codebook):
    return tuple(term / codebook.shape[1] for term in library(z_e, codebook))


def check_losses(losses):
    """Their values, and that each moves one side only, by the analytic gradient 2(e - z)/M."""
    z_e = torch.randn(2, 3, 4, 5, generator=generator(), dtype=torch.float64).requires_grad_()
    codes = torch.randn(7, 3, generator=generator(1), dtype=torch.float64).requires_grad_()
    codebook, commitment = losses(z_e, codes)
    rows = z_e.detach().permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    e = codes.detach().numpy()
    chosen = [int(np.argmin([((row - code) ** 2).sum() for code in e])) for row in rows]
    loss = sum(((row - e[k]) ** 2).sum() for row, k in zip(rows, chosen)) / len(rows)
    assert float(codebook.detach()) == pytest.approx(loss, rel=1e-10)
    assert float(commitment.detach()) == pytest.approx(loss, rel=1e-10)

    to_z, to_codes = torch.autograd.grad(codebook, (z_e, codes), retain_graph=True, materialize_grads=True)
    expected = np.zeros_like(e)
    for row, k in zip(rows, chosen):
        expected[k] += 2 * (e[k] - row) / len(rows)
    assert float(to_z.abs().max()) == 0
    assert np.abs(to_codes.numpy() - expected).max() < 1e-12
    to_z, to_codes = torch.autograd.grad(commitment, (z_e, codes), materialize_grads=True)
    assert float(to_codes.abs().max()) == 0
    to_z = to_z.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    assert np.abs(to_z - 2 * (rows - e[chosen]) / len(rows)).max() < 1e-12


def test_the_codebook_term_moves_only_codes_and_the_commitment_term_only_the_encoder():
    check_losses(library)
    for wrong in (swapped, after_the_straight_through_step, without_stops, mean_over_dimensions):
        assert rejects(check_losses, wrong)


def test_losses_after_the_straight_through_step_leave_the_codes_without_gradient():
    """Why the order matters: then z_q is z_e as far as gradients are concerned, and the codes never move."""
    z_e = torch.randn(2, 3, 4, 5, generator=generator()).requires_grad_()
    codes = torch.randn(7, 3, generator=generator(1)).requires_grad_()
    codebook, _ = after_the_straight_through_step(z_e, codes)
    assert torch.autograd.grad(codebook, codes, allow_unused=True, retain_graph=True) == (None,)
    codebook, _ = library(z_e, codes)
    assert float(torch.autograd.grad(codebook, codes)[0].abs().sum()) > 0


@pytest.mark.parametrize("decay", [None, 0.99])
def test_gradients_pass_straight_through(decay):
    """∂f(quantized)/∂z_e is ∂f/∂quantized itself; codes get none of it."""
    quantizer = VectorQuantizer(7, 3, decay=decay).eval()
    z_e = torch.randn(2, 3, 4, 5, generator=generator()).requires_grad_()
    weight = torch.randn(2, 3, 4, 5, generator=generator(1))

    def check(quantise):
        quantized = quantise(z_e)
        assert torch.allclose(quantized, straight(z_e, quantizer.codebook).detach(), atol=1e-6)
        (gradient,) = torch.autograd.grad((weight * quantized.square()).sum(), z_e, materialize_grads=True)
        assert torch.allclose(gradient, 2 * weight * quantized.detach())

    check(lambda z: quantizer(z).quantized)
    assert rejects(check, lambda z: straight(z, quantizer.codebook).detach().requires_grad_())
    assert rejects(check, lambda z: z)  # the identity in the forward direction too
    if decay is None:
        q = quantizer(z_e)
        assert torch.autograd.grad(q.quantized.sum(), quantizer.codebook, allow_unused=True) == (None,)


def test_moving_averages_have_no_codebook_loss_and_no_parameters():
    quantizer = VectorQuantizer(7, 3)
    z_e = torch.randn(2, 3, 4, 5, generator=generator()).requires_grad_()
    q = quantizer(z_e)
    assert float(q.codebook) == 0
    assert not q.codebook.requires_grad
    assert float(q.commitment.detach()) > 0
    assert list(quantizer.parameters()) == []
    assert set(quantizer.state_dict()) == {"codebook", "count", "total"}
    assert set(VectorQuantizer(7, 3, decay=None).state_dict()) == {"codebook"}


# ---- the codebook as a moving average


def test_one_update_is_that_of_appendix_a1():
    """N ← γN + (1-γ)n, m ← γm + (1-γ)Σz, e = m/N, by loops."""
    decay, codes = 0.7, torch.randn(6, 2, generator=generator(4), dtype=torch.float64)
    quantizer = place(VectorQuantizer(6, 2, decay=decay, revive_below=0).double(), codes)
    count, total, e = np.ones(6), codes.numpy().copy(), codes.numpy().copy()
    for step in range(5):
        z_e = torch.randn(3, 2, 2, 4, generator=generator(step), dtype=torch.float64)
        rows = z_e.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
        chosen = [int(np.argmin(((row - e) ** 2).sum(1))) for row in rows]
        assert quantizer(z_e).tokens.flatten().tolist() == chosen
        for k in range(6):
            own = [row for row, c in zip(rows, chosen) if c == k]
            count[k] = decay * count[k] + (1 - decay) * len(own)
            total[k] = decay * total[k] + (1 - decay) * np.sum(own, 0) if own else decay * total[k]
            e[k] = total[k] / count[k]
        assert np.abs(quantizer.codebook.numpy() - e).max() < 1e-12
        assert np.abs(quantizer.count.numpy() - count).max() < 1e-12


def test_a_code_approaches_the_mean_of_its_vectors_at_the_rate_of_the_decay():
    """With n vectors around m each time: e_t = (γᵗ e_0 + (1-γᵗ) n m) / (γᵗ + (1-γᵗ) n)."""
    rows = torch.tensor([[4.0, 0.0], [6.0, 0.0], [5.0, 3.0]], dtype=torch.float64)
    start = torch.tensor([[4.0, 4.0], [-50.0, -50.0]], dtype=torch.float64)
    quantizer = place(VectorQuantizer(2, 2, decay=0.9, revive_below=0).double(), start)
    for t in range(1, 200):  # long enough for the unused code's count to fade away
        quantizer(grid(rows))
        left = 0.9**t
        expected = (left * start[0] + (1 - left) * 3 * rows.mean(0)) / (left + (1 - left) * 3)
        assert torch.allclose(quantizer.codebook[0], expected, rtol=1e-12)
        assert torch.allclose(quantizer.codebook[1], start[1])  # unused: total and count fade alike


def test_its_fixed_point_is_k_means():
    """On one batch, again and again, the codes end where Lloyd's algorithm from the same start does."""
    centres = 6 * torch.randn(5, 2, generator=generator(8), dtype=torch.float64)
    rows = centres.repeat_interleave(40, 0) + torch.randn(200, 2, generator=generator(), dtype=torch.float64)
    start = rows[::40] + 0.1
    quantizer = place(VectorQuantizer(5, 2, decay=0.5).double(), start)
    for _ in range(60):
        q = quantizer(grid(rows))
    theirs = KMeans(5, init=start.numpy(), n_init=1, tol=0).fit(rows.numpy())
    assert np.abs(quantizer.codebook.numpy() - theirs.cluster_centers_).max() < 1e-9
    assert q.tokens.flatten().tolist() == theirs.labels_.tolist()
    assert float(q.commitment) * 200 == pytest.approx(theirs.inertia_, rel=1e-9)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_evaluation_moves_no_codes(decay):
    quantizer = VectorQuantizer(7, 3, decay=decay)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    z_e = 5 + torch.randn(2, 3, 4, 5, generator=generator())
    quantizer.eval()(z_e)
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())
    quantizer.nearest(z_e)
    quantizer.train()(z_e)
    moved = not torch.equal(quantizer.codebook.detach(), before["codebook"])
    assert moved is (decay is not None)


def test_revived_codes_recover_from_a_dead_start():
    """All codes but one are nobody's nearest at first: without reviving it stays like that for ever."""
    centres = 100 + 20 * torch.randn(8, 3, generator=generator(2))

    def used(revive_below):
        quantizer = VectorQuantizer(16, 3, decay=0.9, revive_below=revive_below, generator=generator(1))
        numbers = generator(5)
        seen = []
        for _ in range(150):
            rows = centres.repeat(8, 1) + torch.randn(64, 3, generator=numbers)
            seen.append(perplexity(quantizer(grid(rows)).tokens, 16))
        error = float((quantizer.lookup(quantizer.nearest(grid(rows))) - grid(rows)).square().sum(1).mean())
        return seen[0], seen[-1], error

    first, last, error = used(0.1)
    assert first < 2
    assert last > 8
    assert error < 2 * 3  # every cluster, of variance 1 in each of 3 dimensions, has a code of its own
    first, last, error = used(0.0)
    assert first < 2
    assert last < 2
    assert error > 500


def test_reviving_spares_the_codes_in_use_and_is_repeatable():
    rows = torch.randn(50, 2, generator=generator())
    codes = torch.cat([torch.tensor([[0.0, 0.0]]), torch.full((3, 2), 1e3)])

    def run(seed):
        quantizer = VectorQuantizer(4, 2, decay=0.5, revive_below=0.3, generator=generator(seed))
        place(quantizer, codes)
        for _ in range(2):  # counts of the unused: 1, 0.5, 0.25
            assert torch.equal(quantizer.codebook[1:], codes[1:])
            quantizer(grid(rows))
        return quantizer

    quantizer = run(1)
    assert bool(
        (torch.cdist(quantizer.codebook[1:], rows).min(1).values == 0).all()
    )  # on vectors of the batch
    assert quantizer.count[1:].tolist() == [1, 1, 1]
    assert torch.allclose(quantizer.codebook[0], rows.mean(0) * 37.5 / 37.75, atol=1e-6)
    assert torch.equal(quantizer.codebook, run(1).codebook)
    assert not torch.equal(quantizer.codebook, run(2).codebook)


def test_perplexity_of_known_uses():
    assert perplexity(torch.full((3, 4), 2), 5) == pytest.approx(1)
    assert perplexity(torch.arange(8).repeat(3), 8) == pytest.approx(8)
    assert perplexity(torch.arange(8).repeat(3), 80) == pytest.approx(8)  # codes that nobody uses add nothing
    assert perplexity(torch.tensor([[[0, 0], [1, 2]]]), 3) == pytest.approx(2**1.5)
    tokens = torch.randint(9, (200,), generator=generator()) ** 2 // 8
    assert perplexity(tokens, 9) == pytest.approx(math.exp(scipy.stats.entropy(tokens.bincount().numpy())))


# ---- the autoencoder


def small(**changes):
    return VQVAE(VQVAEConfig(**{"resolution": 8, "channels": 8, "codes": 6, "dimensions": 4, **changes}))


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"resolution": 12, "colours": 3, "decay": None}])
def test_images_become_a_grid_of_tokens_and_images_again(changes):
    torch.manual_seed(0)
    model = small(**changes).eval()
    shape = (5, model.cfg.colours, model.cfg.resolution, model.cfg.resolution)
    x = 2 * torch.rand(shape, generator=generator()) - 1
    tokens = model.encode(x)
    side = model.cfg.resolution // 4
    assert model.grid == (side, side)
    assert tokens.shape == (5, side, side)
    assert tokens.dtype == torch.int64
    assert model.terms(x).tokens.tolist() == tokens.tolist()
    images = model.decode(tokens)
    assert images.shape == shape
    torch.testing.assert_close(model(x), images)
    model.decoder[-1].weight.mul_(1e4)
    assert float(model.decode(tokens).abs().max()) == 1  # however far the decoder goes


@torch.no_grad()
@pytest.mark.parametrize("decay", [None, 0.99])
def test_terms_are_sums_over_pixels_and_over_the_grid(decay):
    """Eq. (3) per image: with means instead, the commitment would weigh differently at every resolution."""
    torch.manual_seed(0)
    model = small(decay=decay, resolution=12).eval()
    x = 2 * torch.rand(5, 1, 12, 12, generator=generator()) - 1
    z_e = model.encoder(x)
    z_q = model.quantizer.lookup(model.quantizer.nearest(z_e))
    terms = model.terms(x)
    assert float(terms.reconstruction) == pytest.approx(float((model(x) - x).square().sum() / 5), rel=1e-5)
    quantised = float((z_e - z_q).square().sum() / 5)  # 9 vectors per image
    assert float(terms.commitment) == pytest.approx(quantised, rel=1e-5)
    assert float(terms.codebook) == pytest.approx(quantised if decay is None else 0, rel=1e-5)


def test_the_error_trains_the_encoder_through_the_quantiser():
    torch.manual_seed(0)
    model = small(decay=None)
    x = 2 * torch.rand(5, 1, 8, 8, generator=generator()) - 1
    parameters = list(model.encoder.parameters())
    terms = model.terms(x)
    for gradient in torch.autograd.grad(terms.reconstruction, parameters, retain_graph=True):
        assert float(gradient.abs().sum()) > 0
    decoder = list(model.decoder.parameters())
    for term in (terms.codebook, terms.commitment):
        assert set(torch.autograd.grad(term, decoder, allow_unused=True, retain_graph=True)) == {None}


@pytest.mark.parametrize("decay", [None, 0.9])
def test_vqvae_overfits_one_batch(decay):
    torch.manual_seed(0)
    x = F.interpolate(1.6 * torch.rand(4, 1, 2, 2, generator=generator()) - 0.8, scale_factor=4)
    model = small(decay=decay, channels=16, codes=16)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(120):
        terms = model.terms(x)
        loss = terms.reconstruction + terms.codebook + 0.25 * terms.commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(terms.reconstruction.detach()))
    assert losses[-1] < losses[0] / 10
    assert len(model.encode(x).unique()) > 1


def test_first_codes_depend_on_the_generator_alone():
    torch.manual_seed(0)
    first = VectorQuantizer(5, 3, generator=generator(4)).codebook
    torch.manual_seed(1)
    assert torch.equal(first, VectorQuantizer(5, 3, generator=generator(4)).codebook)
    assert not torch.equal(first, VectorQuantizer(5, 3, generator=generator(5)).codebook)


@pytest.mark.parametrize("cfg", [VQVAEConfig(), VQVAEConfig(resolution=32, colours=3, decay=None)])
def test_configs_survive_json(cfg):
    again = VQVAEConfig(**json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert again == cfg
    VQVAE(again).load_state_dict(VQVAE(cfg).state_dict())


def test_parameters_are_few_enough_to_ship():
    assert sum(value.numel() for value in VQVAE().state_dict().values()) <= 1_250_000


CODES = VectorQuantizer(6, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: VectorQuantizer(1, 3), ValueError, "codes must be .*>= 2; received 1"),
        (lambda: VectorQuantizer(6.0, 3), TypeError, "codes must be a whole number.*6.0"),
        (lambda: VectorQuantizer(6, 0), ValueError, "dimensions must be .*received 0"),
        (
            lambda: VectorQuantizer(6, 3, decay=1.0),
            ValueError,
            "decay: expected a number between 0 and 1.*1.0",
        ),
        (lambda: VectorQuantizer(6, 3, decay=0), ValueError, "decay: expected .* or None, got 0"),
        (lambda: VectorQuantizer(6, 3, revive_below=-1), ValueError, "revive_below must be .*received -1"),
        (
            lambda: CODES(torch.ones(2, 4, 5, 5)),
            ValueError,
            r"z_e: expected shape \(N, 3, H, W\), got \(2, 4, 5, 5\)",
        ),
        (
            lambda: CODES.nearest(torch.ones(2, 3)),
            ValueError,
            r"z_e: expected shape \(N, 3, H, W\), got \(2, 3\)",
        ),
        (
            lambda: CODES.lookup(torch.full((1, 2, 2), 6)),
            ValueError,
            "tokens: expected values from 0 to 5, got 6 to 6",
        ),
        (lambda: CODES.lookup(torch.full((1, 2, 2), -1)), ValueError, "from 0 to 5, got -1 to -1"),
        (lambda: CODES.lookup(torch.ones(1, 2, 2)), TypeError, "tokens: expected integer.*float32"),
        (
            lambda: CODES.lookup(torch.ones(4).long()),
            ValueError,
            r"tokens: expected shape \(N, H, W\).*\(4,\)",
        ),
        (
            lambda: perplexity(torch.tensor([0, 6]), 6),
            ValueError,
            "tokens: expected labels from 0 to 5, got 0 to 6",
        ),
        (lambda: perplexity(torch.tensor([-1, 0]), 6), ValueError, "tokens: .*got -1 to 0"),
        (lambda: perplexity(torch.tensor([0.0]), 6), TypeError, "tokens: expected integer"),
        (lambda: perplexity(torch.tensor([0]), 0), ValueError, "codes must be .*received 0"),
        (lambda: VQVAEConfig(resolution=30), ValueError, "resolution: expected a multiple of 4, got 30"),
        (lambda: VQVAEConfig(resolution=28.0), TypeError, "resolution must be a whole number.*28.0"),
        (
            lambda: small()(torch.ones(2, 1, 12, 12)),
            ValueError,
            r"x: expected images of shape \(N, 1, 8, 8\), got \(2, 1, 12, 12\)",
        ),
        (lambda: small().terms(torch.ones(2, 3, 8, 8)), ValueError, r"\(N, 1, 8, 8\), got \(2, 3, 8, 8\)"),
        (lambda: small().encode(torch.ones(8, 8)), ValueError, r"\(N, 1, 8, 8\), got \(8, 8\)"),
        (
            lambda: small().decode(torch.zeros(2, 3, 3).long()),
            ValueError,
            r"tokens: expected shape \(N, 2, 2\), got \(2, 3, 3\)",
        ),
        (lambda: small().decode(torch.full((1, 2, 2), 6)), ValueError, "from 0 to 5, got 6"),
        (lambda: small().decode(torch.zeros(1, 2, 2)), TypeError, "tokens: expected integer"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
