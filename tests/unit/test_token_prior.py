"""The autoregressive prior: causal, normalised over all grids, and sampled from just that distribution."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F

from course_lib.vq import TokenPrior, TokenPriorConfig
from tests.unit.proof import generator, rejects

TINY = TokenPriorConfig(codes=3, rows=2, columns=2, width=8, heads=2, layers=2)
EVERY = torch.tensor(list(itertools.product(range(3), repeat=4))).view(81, 2, 2)


@torch.no_grad()
def loud(kind=TokenPrior, cfg=TINY, seed=0):
    """A prior whose weights are large, so that its distribution is far from uniform."""
    torch.manual_seed(seed)
    model = kind(cfg).requires_grad_(False)
    model.token.weight.mul_(60)
    model.position.mul_(60)
    model.head.weight.mul_(4)
    return model


class Unshifted(TokenPrior):
    """Wrong: each position is shown its own token."""

    def forward(self, tokens):
        x = self.token(tokens.flatten(1)) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class ColumnByColumn(TokenPrior):
    """Wrong: the grid is read column by column."""

    def _flat(self, tokens):
        return (
            super()._flat(tokens).unflatten(1, (self.cfg.rows, self.cfg.columns)).transpose(1, 2).flatten(1)
        )


class Unmasked(TokenPrior):
    """Wrong: every position sees all others."""

    def forward(self, tokens):
        with pytest.MonkeyPatch.context() as patch:
            attention = F.scaled_dot_product_attention
            patch.setattr(
                F, "scaled_dot_product_attention", lambda q, k, v, is_causal=False: attention(q, k, v)
            )
            return super().forward(tokens)


class Forgetful(TokenPrior):
    """Wrong: a step of sampling sees the last token only."""

    @torch.no_grad()
    def sample(self, n, generator, *, temperature=1.0):
        token, drawn = torch.full((n,), self.cfg.codes), []
        for t in range(4):
            x = (self.token(token) + self.position[t]).unsqueeze(1)
            for block in self.blocks:
                x = block(x, [])
            p = (self.head(self.norm(x[:, 0])) / temperature).softmax(1)
            token = torch.multinomial(p, 1, generator=generator).squeeze(1)
            drawn.append(token)
        return torch.stack(drawn, 1).unflatten(1, (2, 2))


def test_a_token_changes_the_logits_of_later_ones_only():
    cfg = dataclasses.replace(TINY, rows=2, columns=3, codes=5)
    tokens = torch.randint(5, (4, 2, 3), generator=generator())

    def check(kind):
        model = loud(kind, cfg)
        before = model(tokens)
        assert before.shape == (4, 6, 5)
        for t in range(6):
            changed = tokens.clone()
            changed[:, t // 3, t % 3] = (changed[:, t // 3, t % 3] + 1) % 5
            difference = (model(changed) - before).abs().amax((0, 2))  # (T,), in the order of the rows
            assert float(difference[: t + 1].max()) == pytest.approx(0, abs=1e-5)
            if t < 5:
                assert float(difference[t + 1 :].min()) > 1e-3  # and on all of them, near and far

    check(TokenPrior)
    for wrong in (Unshifted, Unmasked, ColumnByColumn):
        assert rejects(check, wrong)


def test_probabilities_of_all_grids_sum_to_one():
    def check(kind):
        log_p = loud(kind).double().log_prob(EVERY)
        assert log_p.shape == (81,)
        assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-12)

    check(TokenPrior)
    assert rejects(check, Unmasked)
    assert rejects(check, Unshifted)
    share = loud().log_prob(EVERY).exp()
    assert float(share.max() / share.min()) > 1e3  # a distribution worth testing


def test_log_probability_is_the_sum_of_those_of_the_tokens():
    model = loud()
    logits = model(EVERY).double().numpy()
    for i in (0, 17, 80):
        total = 0.0
        for t, token in enumerate(EVERY[i].flatten().tolist()):
            total += logits[i, t, token] - math.log(np.exp(logits[i, t]).sum())
        assert float(model.log_prob(EVERY[i : i + 1])) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_have_the_models_distribution(temperature):
    """All 81 grids by a chi-square test; a temperature T divides the logits of each step by T."""
    n = 8_000
    log_p = (loud()(EVERY).double() / temperature).log_softmax(2)
    p = log_p.gather(2, EVERY.flatten(1).unsqueeze(2)).sum((1, 2)).exp().numpy()
    place_values = torch.tensor([[27, 9], [3, 1]])

    def check(kind):
        tokens = loud(kind).sample(n, generator(1), temperature=temperature)
        assert tokens.shape == (n, 2, 2)
        counts = np.bincount((tokens * place_values).sum((1, 2)).numpy(), minlength=81)
        rare = n * p < 5  # the test wants at least five of each kind: the rare ones are taken together
        seen = np.append(counts[~rare], counts[rare].sum() + 1e-9)
        expected = np.append(n * p[~rare], n * p[rare].sum() + 1e-9)
        assert scipy.stats.chisquare(seen, expected).pvalue > 1e-3

    check(TokenPrior)
    assert rejects(check, Forgetful)


def test_kept_keys_and_values_give_the_logits_of_the_whole_sequence():
    """The step's logits, listened to while it samples, are those of `forward` on the finished grid."""

    def check(model, rows=3, columns=2):
        heard = []
        hook = model.head.register_forward_hook(lambda _m, _i, logits: heard.append(logits))
        tokens = model.sample(7, generator(2))
        hook.remove()
        assert len(heard) == rows * columns  # one position each, not all of them again
        assert torch.allclose(torch.stack(heard, 1), model(tokens), atol=1e-4)

    check(loud(cfg=dataclasses.replace(TINY, rows=3, layers=3)))
    with pytest.raises(AssertionError):
        check(loud(Forgetful), 2, 2)


def test_a_cold_sampler_is_greedy():
    model = loud(cfg=dataclasses.replace(TINY, codes=6))
    drawn = model.sample(5, generator(), temperature=1e-4)
    greedy = torch.zeros(1, 2, 2, dtype=torch.int64)
    for t in range(4):
        greedy[0, t // 2, t % 2] = model(greedy)[0, t].argmax()
    assert torch.equal(drawn, greedy.expand(5, 2, 2))


def test_samples_depend_on_the_seed_alone():
    model = loud()
    first = model.sample(50, generator(1))
    torch.manual_seed(9)
    assert torch.equal(first, model.sample(50, generator(1)))
    assert not torch.equal(first, model.sample(50, generator(2)))
    assert first.dtype == torch.int64
    assert not first.requires_grad


def test_each_grid_is_treated_alone():
    model = loud()
    assert torch.allclose(model.log_prob(EVERY)[40:43], model.log_prob(EVERY[40:43]), atol=1e-4)


def test_the_same_token_means_something_else_elsewhere():
    """Without positions, two places with the same past could not differ; here even the first two tokens do."""
    same = torch.zeros(1, 2, 2, dtype=torch.int64)
    logits = loud()(same)[0]
    assert float((logits[2] - logits[3]).abs().max()) > 0.1


def test_prior_overfits_one_batch_down_to_its_entropy():
    """Eight equally frequent grids cannot cost less than log 8 on average, and hardly cost more."""
    torch.manual_seed(0)
    tokens = torch.randint(5, (8, 2, 3), generator=generator())
    assert len(tokens.flatten(1).unique(dim=0)) == 8
    model = TokenPrior(TokenPriorConfig(codes=5, rows=2, columns=3, width=16, heads=2, layers=1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    # With five seeds it ends 0.01 to 0.02 above log 8; at a rate of 2e-2 it depended on how a processor rounds.
    for _ in range(120):
        loss = -model.log_prob(tokens).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert math.log(8) < float(loss.detach()) < math.log(8) + 0.1
    drawn = model.sample(100, generator()).flatten(1)
    known = (drawn.unsqueeze(1) == tokens.flatten(1)).all(2).any(1)
    assert float(known.double().mean()) > 0.85


@pytest.mark.parametrize("cfg", [TokenPriorConfig(), TINY])
def test_configs_survive_json(cfg):
    again = TokenPriorConfig(**json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert again == cfg
    TokenPrior(again).load_state_dict(TokenPrior(cfg).state_dict())


def test_parameters_are_few_enough_to_ship():
    assert sum(p.numel() for p in TokenPrior().parameters()) <= 1_250_000


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: TokenPriorConfig(width=30), ValueError, "width: expected a multiple of 4 heads, got 30"),
        (
            lambda: loud()(torch.full((1, 2, 2), 3)),
            ValueError,
            "tokens: expected labels from 0 to 2, got 3 to 3",
        ),
        (
            lambda: loud()(torch.full((1, 2, 2), -1)),
            ValueError,
            "tokens: expected labels from 0 to 2, got -1",
        ),
        (lambda: loud()(torch.zeros(1, 2, 2)), TypeError, "tokens: expected integer.*float32"),
        (
            lambda: loud()(torch.zeros(1, 2, 3).long()),
            ValueError,
            r"tokens: expected shape \(N, 2, 2\), got \(1, 2, 3\)",
        ),
        (lambda: loud()(torch.zeros(5, 4).long()), ValueError, r"\(N, 2, 2\), got \(5, 4\)"),
        (lambda: loud().log_prob(torch.zeros(2, 2).long()), ValueError, r"\(N, 2, 2\), got \(2, 2\)"),
        (lambda: loud().log_prob(torch.full((1, 2, 2), 9)), ValueError, "from 0 to 2, got 9"),
        (lambda: loud().sample(0, generator()), ValueError, "n must be .*received 0"),
        (lambda: loud().sample(1.0, generator()), TypeError, "n must be a whole number.*1.0"),
        (
            lambda: loud().sample(1, generator(), temperature=0.0),
            ValueError,
            "temperature must be .*> 0; received 0",
        ),
        (
            lambda: loud().sample(1, generator(), temperature=-1),
            ValueError,
            "temperature must be .*received -1",
        ),
        (lambda: loud().sample(1, generator(), temperature="1"), TypeError, "temperature must be .*'1'"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
