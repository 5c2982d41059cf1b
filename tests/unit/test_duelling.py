"""The adversarial loop against one written out, its mistakes included; resumed, diverging, and won by one side."""

import contextlib
import itertools
import math
import warnings

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from course_lib.data import Stream
from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import (
    Loss,
    clipped_share,
    gradient_penalty,
    hinge,
    least_squares,
    nonsaturating,
    r1,
    relativistic,
    saturating,
    wasserstein,
)
from course_lib.training import Runtime, TrainingDiverged
from course_lib.training.duelling import DiscriminatorWon, duel
from course_lib.training.resume import LastTwo, Snapshot, Snapshots
from tests.unit.proof import generator, rejects

N, BATCH = 22, 4
CFG = GANConfig(resolution=16, latent=3, width=4)  # its discriminator has one batch normalisation
CRITIC = GANConfig(resolution=16, latent=3, width=4, normalise=False)
BY_CLASS = GANConfig(resolution=16, latent=3, width=4, classes=2)


class Planar(nn.Module):
    """Two small networks for points of the plane."""

    def __init__(self, width):
        super().__init__()
        self.G = nn.Linear(2, 2)
        self.D = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1), nn.Flatten(0))

    def codes(self, n, generator):
        return torch.randn(n, 2, generator=generator)


class Spread:
    """A regularisation that pulls all images to grey, more and more: what it counts matters."""

    weight, every, part = 10.0, 2, 2

    def __init__(self):
        self.rows = []

    def __call__(self, G, drawn, generator):
        self.rows.append(len(drawn))
        return len(self.rows) * G(drawn).square().mean((1, 2, 3))

    def state_dict(self):
        return {"rows": list(self.rows)}

    def load_state_dict(self, state):
        self.rows = list(state["rows"])


def images(labels=False):
    x = torch.rand(N, 1, 16, 16, generator=generator(9)) * 2 - 1
    return (x, torch.arange(N) % 2) if labels else (x,)


def begin(cfg=CFG, *, folder=None, resume=False, seed=0):
    """Runtime, model and stream of one process."""
    kept = None if folder is None else Snapshots(folder, {"recipe": "tiny"}, resume=resume)
    rt = Runtime("gpu", "cpu", seed=seed, snapshots=kept)
    gan = rt.place(GAN(cfg))
    return rt, gan, Stream(*images(bool(cfg.classes)), batch=BATCH, generator=rt.generator(1))


def run(cfg=CFG, *, folder=None, resume=False, seed=0, gan=None, batches=None, **changes):
    rt, made, stream = begin(cfg, folder=folder, resume=resume, seed=seed)
    gan = gan or made
    if changes.get("smooth") is Spread:
        changes["smooth"] = Spread()  # each run has its own
    settings = {
        "loss": nonsaturating,
        "images": 10 * BATCH,
        "batch": BATCH,
        "lr": (1e-2, 2e-2),
        "what": "tiny",
    }
    facts = duel(rt, gan, batches or stream, quiet=True, **{**settings, **changes})
    return gan, facts


def points(n=256, seed=3, at=(0.0, 0.0)):
    return torch.randn(n, 2, generator=generator(seed)) + torch.tensor(at)


def run_points(x, seed=0, width=8, **changes):
    rt = Runtime("gpu", "cpu", seed=seed)
    gan = Planar(width)
    settings = {"loss": nonsaturating, "images": 32 * 60, "batch": 32, "lr": (1e-2, 1e-2), "what": "points"}
    stream = Stream(x, batch=32, generator=rt.generator(1))
    return gan, duel(rt, gan, stream, quiet=True, **{**settings, **changes})


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


# ---- against the loop written out


def written_out(cfg, *, loss, rounds, lr, critics=1, penalty=None, clip=None, decay=0.5, mistake=None):
    """What `duel` does, without its means; and one mistake, if asked for."""
    rt, gan, stream = begin(cfg)
    noise = rt.generator(2)
    G, D = gan.train().G, gan.D
    adam_G, adam_D = (torch.optim.Adam(net.parameters(), rate, (0.5, 0.999)) for net, rate in zip((G, D), lr))
    if mistake == "one iteration more":
        critics += 1
    for number in range(rounds):
        share = min(1.0, (rounds - number) / (decay * rounds))
        for adam, rate in zip((adam_G, adam_D), lr):
            adam.param_groups[0]["lr"] = rate if mistake == "no decay" else rate * share
        for _ in range(critics):
            drawn = next(stream)
            x, *y = drawn if isinstance(drawn, tuple) else (drawn,)
            fake = G(gan.codes(BATCH, noise), *y)
            if mistake != "the discriminator's step reaches the generator":
                fake = fake.detach()
            if mistake == "reals and generated images in one batch":
                real_logits, fake_logits = D(torch.cat([x, fake]), *[torch.cat([k, k]) for k in y]).chunk(2)
            else:
                real_logits, fake_logits = D(x, *y), D(fake, *y)
            value = loss.discriminator(real_logits, fake_logits).mean()
            if penalty is not None:
                value = value + 10 * penalty(lambda x, y=y: D(x, *y), x, fake, noise).mean()
            if mistake != "the generator's step reaches the discriminator":
                adam_D.zero_grad()
            value.backward()
            if mistake == "clipped before the step":
                clip_in_place(D, clip)
            adam_D.step()
            if clip is not None and mistake != "clipped before the step":
                clip_in_place(D, clip)
        if mistake != "the same codes again":
            fake = G(gan.codes(BATCH, noise), *y)
        else:
            fake = G(gan.codes(BATCH, generator()), *y)
        if mistake == "generated images taken for reals":
            value = loss.generator(fake_logits.detach(), D(fake, *y)).mean()
        else:
            value = loss.generator(real_logits.detach(), D(fake, *y)).mean()
        if mistake != "the discriminator's step reaches the generator":
            adam_G.zero_grad()
        value.backward()
        adam_G.step()
        if mistake == "the discriminator's step reaches the generator":
            adam_G.zero_grad()  # so that what leaks is that of one round
    return gan


def clip_in_place(net, c):
    with torch.no_grad():
        for weight in net.parameters():
            weight.clamp_(-c, c)


@pytest.fixture
def double():
    """Networks, images and codes are made in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


ALWAYS = (
    "one iteration more",
    "no decay",
    "the discriminator's step reaches the generator",
    "the generator's step reaches the discriminator",
    "the same codes again",
)


@pytest.mark.parametrize(
    ("cfg", "settings", "mistakes"),
    [
        (CFG, {"loss": nonsaturating}, (*ALWAYS, "reals and generated images in one batch")),
        (BY_CLASS, {"loss": hinge}, (*ALWAYS, "reals and generated images in one batch")),
        (CRITIC, {"loss": wasserstein, "critics": 3, "penalty": gradient_penalty}, ALWAYS),
        (CRITIC, {"loss": wasserstein, "critics": 2, "clip": 0.05}, (*ALWAYS, "clipped before the step")),
        (
            CRITIC,
            {"loss": relativistic, "penalty": r1, "decay": 0.25},
            (*ALWAYS, "generated images taken for reals"),
        ),
    ],
    ids=["DCGAN", "by class", "WGAN-GP", "WGAN", "relativistic"],
)
def test_the_loop_is_the_one_written_out(cfg, settings, mistakes, double):
    """In double precision: after several rounds of Adam, what single precision rounds off has grown to anything."""
    rounds, lr = 8, (1e-2, 2e-2)
    given = {key: value for key, value in settings.items() if key != "penalty"}
    if "penalty" in settings:
        given["penalties"] = [(settings["penalty"], 10.0)]
    gan, _ = run(cfg, images=rounds * BATCH * settings.get("critics", 1), lr=lr, **given)

    def check(mistake):
        expected = written_out(cfg, rounds=rounds, lr=lr, mistake=mistake, **settings)
        for key, value in expected.state_dict().items():
            if value.is_floating_point():  # counts of batches would give some mistakes away
                assert torch.allclose(gan.state_dict()[key], value, rtol=1e-6, atol=1e-8), key

    check(None)
    for mistake in mistakes:
        assert rejects(check, mistake)


@pytest.mark.parametrize("critics", [1, 3])
def test_each_step_moves_one_player(critics):
    """In the order D, D, D, G, and so on; a gradient that arrives at a weight arrives in its own player's step."""
    gan, events = begin(CRITIC)[1], []
    for name, net in (("G", gan.G), ("D", gan.D)):
        for weight in net.parameters():
            weight.register_post_accumulate_grad_hook(lambda _, name=name: events.append(name))
    owner = {id(weight): name for name, net in (("G", gan.G), ("D", gan.D)) for weight in net.parameters()}
    steps = []
    hook = register_optimizer_step_post_hook(
        lambda optimizer, *_: (
            steps.append(owner[id(optimizer.param_groups[0]["params"][0])]),
            events.append("step"),
        )
    )
    try:
        run(CRITIC, gan=gan, loss=wasserstein, critics=critics, images=4 * critics * BATCH)
    finally:
        hook.remove()
    assert "".join(steps) == ("D" * critics + "G") * 4
    rounds = "".join(name[0] for name in events).rstrip("s").split("s")
    for moved, gradients in zip(steps, rounds, strict=True):
        assert set(gradients) == {moved}


def test_learning_rates_fall_linearly_to_zero_in_the_last_share():
    seen = []
    hook = register_optimizer_step_post_hook(
        lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"])
    )
    try:
        for decay in (0.5, 0.25, 1.0, 0):
            seen.clear()
            run(images=20 * BATCH, lr=(1.0e-3, 4.0e-3), decay=decay)
            for start, rates in ((4.0e-3, seen[::2]), (1.0e-3, seen[1::2])):
                expected = [min(1.0, (20 - k) / (20 * decay)) * start if decay else start for k in range(20)]
                assert rates == pytest.approx(expected, rel=1e-9)
    finally:
        hook.remove()


# ---- what it takes and gives


def test_only_whole_rounds_are_played():
    drawn = []

    class Counting(Stream):
        def __next__(self):
            drawn.append(1)
            return super().__next__()

    rt = Runtime("gpu", "cpu")
    stream = Counting(*images(), batch=BATCH, generator=rt.generator(1))
    _, facts = run(batches=stream, images=6 * BATCH + BATCH - 1, critics=2, lr=(1e-3, 2e-3))
    assert len(drawn) == 6
    assert facts == {"images_seen": 6 * BATCH, "batch": BATCH, "lr": [1e-3, 2e-3], "critic_steps": 2}


def test_minibatches_may_be_tensors_tuples_or_lists():
    x, y = images(labels=True)
    pairs = list(zip(x.split(BATCH), y.split(BATCH)))[:5]
    for cfg, forms in ((CFG, (lambda x, y: x, lambda x, y: (x,), lambda x, y: [x])),
                       (BY_CLASS, (lambda x, y: (x, y), lambda x, y: [x, y]))):  # fmt: skip
        gans = [run(cfg, batches=itertools.cycle(form(*pair) for pair in pairs))[0] for form in forms]
        assert all(same_weights(gan, gans[0]) for gan in gans)


def test_who_watches_sees_each_round_and_keeps_no_graph():
    seen = []
    gan, _ = run(images=6 * BATCH, critics=2, watch=lambda *given: seen.append(given))
    assert [count for count, _ in seen] == [2 * BATCH, 4 * BATCH, 6 * BATCH]
    for _, verdict in seen:
        assert not any(part.requires_grad for part in verdict)
        assert verdict.real.shape == verdict.fake.shape == (BATCH,)
        assert float(verdict.gap) == pytest.approx(float(verdict.real.mean() - verdict.fake.mean()))
    assert gan.training


def test_frozen_weights_stay_as_they_are():
    """Of both players, for who trains a part of a shipped one on pictures of their own."""
    gan = begin(CRITIC)[1]
    frozen = [*gan.D.features[0].parameters(), *gan.G.net[0].parameters()]
    for weight in frozen:
        weight.requires_grad_(False)
    before = [weight.clone() for weight in frozen]
    free = {name for name, weight in gan.named_parameters() if weight.requires_grad}
    moved = {name: weight.detach().clone() for name, weight in gan.named_parameters()}
    run(CRITIC, gan=gan)
    assert all(torch.equal(weight, was) for weight, was in zip(frozen, before))
    assert {name for name, weight in gan.named_parameters() if weight.requires_grad} == free
    assert {name for name, weight in gan.named_parameters() if not torch.equal(weight, moved[name])} == free


def interrupted(loss, at):
    """A loss that raises KeyboardInterrupt in its `at`-th call, whoever calls; otherwise, and by name, it is `loss`."""
    calls = []

    class Interrupted(Loss):
        name = loss.name

    def counting(per_pair):
        def call(real, fake):
            value = per_pair(real, fake)
            calls.append(1)
            if len(calls) == at:
                raise KeyboardInterrupt
            return value

        return call

    return Interrupted(*map(counting, loss))


def test_an_interruption_leaves_the_discriminator_able_to_learn():
    """In a notebook the next cell trains on with the same model."""
    for at in (4, 5, 6):
        gan = begin()[1]
        with pytest.raises(KeyboardInterrupt):
            run(gan=gan, loss=interrupted(nonsaturating, at))
        assert all(weight.requires_grad for weight in gan.parameters())
        run(gan=gan)


def test_it_trains_in_training_mode_whatever_the_model_was_in():
    gan = begin()[1].eval()
    run(gan=gan)
    assert gan.G.training and gan.D.training
    assert same_weights(gan, run()[0])


def test_clipped_weights_are_clipped_after_the_last_step():
    gan, _ = run(CRITIC, loss=wasserstein, clip=0.03, critics=2, images=20 * BATCH, decay=0)
    assert max(float(weight.detach().abs().max()) for weight in gan.D.parameters()) <= 0.03 + 1e-7
    assert clipped_share(gan.D, 0.03) > 0.3
    assert max(float(weight.detach().abs().max()) for weight in gan.G.parameters()) > 0.03


@pytest.mark.parametrize("seed", range(3))
def test_a_generator_finds_the_data(seed):
    """WGAN-GP moves a cloud by √5, to where the data are."""
    gan, _ = run_points(
        0.5 * points(at=(4.0, -2.0)),
        seed,
        width=16,
        loss=wasserstein,
        critics=5,
        penalties=[(gradient_penalty, 10.0)],
        images=32 * 5 * 100,
        lr=(5e-2, 2e-2),
        betas=(0.0, 0.9),
    )
    with torch.no_grad():
        made = gan.G(torch.randn(2000, 2, generator=generator(7)))
    assert float((made.mean(0) - torch.tensor([2.0, -1.0])).norm()) < 1.4


# ---- resuming


ROUNDS = 40  # a snapshot every second round
SETTINGS = {
    "DCGAN": (BY_CLASS, {"loss": nonsaturating}),
    "WGAN-GP": (CRITIC, {"loss": wasserstein, "critics": 2, "penalties": [(gradient_penalty, 10.0)]}),
    "lazy": (CRITIC, {"loss": relativistic, "penalties": [(r1, 1.0)], "every": 4, "smooth": Spread}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path, name):
    """Whether a discriminator's step or a generator's was interrupted, early, late, or several times."""
    cfg, settings = SETTINGS[name]
    settings = {"images": ROUNDS * BATCH * settings.get("critics", 1), **settings}
    per_round = settings.get("critics", 1) + 1  # calls of the loss
    expected, facts = run(cfg, **settings)
    for stops in ([5 * per_round + 1], [ROUNDS * per_round], [20, 21, 18]):
        folder = tmp_path / str(stops)
        for number, at in enumerate(stops):
            with pytest.raises(KeyboardInterrupt):
                run(
                    cfg,
                    folder=folder,
                    resume=number > 0,
                    **{**settings, "loss": interrupted(settings["loss"], at)},
                )
        done = LastTwo(folder / "1").load()["images_seen"]
        assert 0 < done < settings["images"]
        watched = []
        gan, again = run(
            cfg, folder=folder, resume=True, watch=lambda n, _, seen=watched: seen.append(n), **settings
        )
        assert same_weights(gan, expected)
        assert again == facts
        assert watched[0] > done  # it did go on, and did not start anew


def test_keeping_snapshots_changes_nothing(tmp_path):
    assert same_weights(run()[0], run(folder=tmp_path)[0])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lr": (1e-2, 1e-2)}, "lr"),
        ({"betas": (0.0, 0.9)}, "betas"),
        ({"critics": 2, "images": 40 * BATCH}, "critics = 2, found 1"),
        ({"clip": 0.01}, r"clip = 0\.01, found None"),
        ({"decay": 0.2}, r"decay = 0\.2, found 0\.5"),
        ({"penalties": [(r1, 1.0)]}, "penalties"),
        ({"every": 4}, "every = 4, found 1"),
        ({"smooth": Spread}, "smooth"),
        ({"seed": 1}, "seed = 1, found 0"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, changes, match):
    with pytest.raises(KeyboardInterrupt):
        run(CRITIC, folder=tmp_path, images=40 * BATCH, loss=interrupted(hinge, 30))
    with pytest.raises(ValueError, match=match) as error:
        run(CRITIC, folder=tmp_path, resume=True, **{"images": 40 * BATCH, "loss": hinge, **changes})
    assert "is of another run" in str(error.value)
    assert "\n" not in str(error.value)


# ---- when it goes wrong


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [1, 18])
def test_divergence_is_reported_where_it_began(tmp_path, player, bad, at):
    calls = []

    def spoilt(real, fake):
        calls.extend([1] if len(real) == BATCH else [])  # the loop asks once what guessing would cost
        return getattr(nonsaturating, player)(real, fake) + (bad if len(calls) == at else 0)

    with pytest.raises(TrainingDiverged) as caught:
        run(folder=tmp_path, images=20 * BATCH, loss=nonsaturating._replace(**{player: spoilt}))
    assert caught.value.what == f"{player}'s loss"
    assert caught.value.images_seen == at * BATCH
    assert "\n" not in str(caught.value)
    kept = at - 1  # rounds: a snapshot after each
    assert caught.value.kept_at == kept * BATCH
    if kept:
        weights = Snapshot(caught.value.snapshot).load()["parts"]["gan"]
        assert all(value.isfinite().all() for value in weights.values())


def won(x, **changes):
    """The warnings that a training on points gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_points(x, **changes)
    return caught


LOPSIDED = {"images": 32 * 200, "lr": (1e-6, 5e-2), "decay": 0}  # a generator that hardly moves


@pytest.mark.parametrize("loss", [saturating, nonsaturating, hinge, least_squares, relativistic])
def test_a_discriminator_that_has_won_is_reported_once(monkeypatch, loss):
    monkeypatch.setattr("course_lib.training.duelling.WINDOW", 40)
    caught = won(points(at=(30.0, 0.0)), loss=loss, **LOPSIDED)
    assert [warning.category for warning in caught] == [DiscriminatorWon]
    said = str(caught[0].message)
    assert "it has won" in said
    assert "lower its learning rate" in said
    assert "\n" not in said
    assert caught[0].filename == __file__  # where `duel` was called


@pytest.mark.parametrize("loss", [saturating, nonsaturating, hinge, least_squares, relativistic, wasserstein])
def test_one_that_has_not_won_is_not(monkeypatch, loss):
    monkeypatch.setattr("course_lib.training.duelling.WINDOW", 40)
    assert not won(points(), loss=loss, images=32 * 200)


def test_a_critic_that_puts_all_in_order_has_not_won(monkeypatch):
    """Its slope is what it is, however right it is."""
    monkeypatch.setattr("course_lib.training.duelling.WINDOW", 40)
    orders = []

    def watch(_, verdict):
        orders.append(float((verdict.real > verdict.fake).double().mean()))

    caught = won(
        points(at=(30.0, 0.0)),
        loss=wasserstein,
        penalties=[(gradient_penalty, 10.0)],
        watch=watch,
        **{**LOPSIDED, "lr": (1e-6, 5e-3)},
    )
    assert not caught
    assert min(orders[-40:]) == 1


def test_it_has_not_won_before_the_window_is_over():
    assert not won(points(at=(30.0, 0.0)), **{**LOPSIDED, "images": 32 * 199})


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"images": BATCH - 1}, ValueError, r"images must be .* >= 4 \(critics \* batch.*received 3"),
        ({"images": 4 * BATCH, "critics": 5}, ValueError, "images must be .* >= 20 .*received 16"),
        ({"images": 40.0}, TypeError, "images must be a whole number"),
        ({"batch": 1}, ValueError, "batch must be .*>= 2; received 1"),
        ({"critics": 0}, ValueError, "critics must be .*received 0"),
        ({"lr": (1e-3, 0.0)}, ValueError, "lr must be .*> 0"),
        ({"lr": (math.nan, 1e-3)}, ValueError, "lr must be .*nan"),
        ({"clip": 0.0}, ValueError, "clip must be .*> 0"),
        ({"decay": -0.5}, ValueError, "decay must be .*-0.5"),
        ({"decay": 2.0}, ValueError, "decay must be a share .*2.0"),
        ({"penalties": [(r1, 1.0)]}, ValueError, "D: expected no batch normalisation"),
        ({"penalties": [(r1, -1.0)]}, ValueError, "weight must be"),
        ({"batch": 5, "images": 20}, ValueError, "batches: expected minibatches of 5 images, got one of 4"),
        ({"batches": itertools.repeat(images(labels=True)), "batch": N, "images": N}, ValueError, "y: expected None"),
        ({"batches": itertools.repeat(torch.zeros(4, 1, 28, 28))}, ValueError, "fake: .*28, 28.*, got .*16, 16"),
    ],
)  # fmt: skip
def test_bad_input_is_named(changes, error, says):
    with pytest.raises(error, match=says) as caught:
        run(**changes)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_resumed_is_refused_at_once(tmp_path):
    endless = itertools.repeat(images()[0][:BATCH])
    with contextlib.suppress(StopIteration):
        run(batches=endless)  # without snapshots any iterator will do
    with pytest.raises(TypeError, match=r"batches: expected an object with state_dict.*data\.Stream"):
        run(folder=tmp_path, batches=endless)


def settings(**changes):
    return {
        "loss": nonsaturating,
        "images": 8,
        "batch": 4,
        "lr": (1e-3, 1e-3),
        "what": "t",
        "quiet": True,
    } | changes


IMAGES = torch.rand(8, 1, 16, 16, generator=generator(1)) * 2 - 1


@pytest.mark.parametrize(
    ("batches", "changes", "error", "match"),
    [
        (
            iter([IMAGES[:4]]),
            {"images": 80},
            ValueError,
            "endless iterator, got one that ended after 4 images",
        ),
        ([IMAGES[:4]], {}, TypeError, "expected an iterator over minibatches, such as data.Stream, got list"),
        (
            itertools.repeat(IMAGES[:4].double()),
            {},
            TypeError,
            r"expected images of torch\.float32, as the weights are, got",
        ),
        (itertools.repeat((IMAGES[:4] * 0).to(torch.uint8)), {}, TypeError, "data.from_uint8"),
        (itertools.repeat(IMAGES[:3]), {}, ValueError, "minibatches of 4 images, got one of 3"),
        (itertools.repeat(100 * IMAGES[:4]), {}, ValueError, r"images in \[-1, 1\]"),
        (itertools.repeat(IMAGES[:4]), {"lr": 1e-3}, TypeError, "lr: expected a pair"),
    ],
)
def test_wrong_minibatches_and_rates_are_told_in_one_line(batches, changes, error, match):
    with pytest.raises(error, match=match) as told:
        duel(Runtime("smoke", "cpu", seed=0), GAN(CFG), batches, **settings(**changes))
    assert "\n" not in str(told.value)


def test_labels_that_begin_at_one_are_refused():
    batches = itertools.repeat((IMAGES[:4], torch.tensor([1, 2, 1, 2])))
    with pytest.raises(ValueError, match="expected labels from 0 to 1, got 1 to 2"):
        duel(Runtime("smoke", "cpu", seed=0), GAN(BY_CLASS), batches, **settings())


def test_a_frozen_model_says_that_it_is_frozen():
    gan = GAN(CFG).requires_grad_(False)
    with pytest.raises(ValueError, match=r"gan\.G: expected weights to train.*requires_grad_\(True\)"):
        duel(Runtime("smoke", "cpu", seed=0), gan, itertools.repeat(IMAGES[:4]), **settings())


@pytest.mark.parametrize(
    "changes", [{"loss": saturating}, {"penalties": [(gradient_penalty, 0.5)]}, {"penalties": [(r1, 0.25)]}]
)
def test_another_loss_or_penalty_is_another_run(tmp_path, changes):
    def run(resume, **changes):
        kept = Snapshots(tmp_path, {"recipe": "t"}, resume=resume)
        rt = Runtime("gpu", "cpu", seed=0, snapshots=kept)
        stream = Stream(IMAGES, batch=4, generator=rt.generator(1))
        duel(rt, GAN(CRITIC), stream, **settings(penalties=[(r1, 0.5)]) | changes)

    run(False)
    with pytest.raises(ValueError, match=r"is of another run: expected (loss|penalties)"):
        run(True, **changes)


def test_lazy_penalties_come_in_every_so_many_steps_and_count_as_often():
    """Their mean over the training is that of penalties in all steps."""
    calls = []

    def spy(D, real, fake, generator):
        calls.append(len(real))
        return torch.ones(len(real))

    verdicts = []
    run(
        CRITIC,
        penalties=[(spy, 0.5)],
        every=4,
        critics=2,
        images=16 * BATCH,
        watch=lambda _, v: verdicts.append(v),
    )
    assert len(calls) == 16 / 4
    seen = [float(v.penalty) for v in verdicts]  # of every second step
    assert all(value == 0 for value in seen)  # the penalised ones are the first of their rounds
    calls.clear()
    verdicts.clear()
    run(CRITIC, penalties=[(spy, 0.5)], every=2, images=8 * BATCH, watch=lambda _, v: verdicts.append(v))
    assert [float(v.penalty) for v in verdicts] == [1.0, 0.0] * 4


def test_the_generators_regularisation_has_steps_of_its_own(tmp_path):
    spread = Spread()
    gan, _ = run(CRITIC, smooth=spread, images=20 * BATCH)
    assert spread.rows == [BATCH // 2] * 10
    free, _ = run(CRITIC, images=20 * BATCH)
    codes = gan.codes(50, generator(0))
    with torch.no_grad():
        assert gan.G(codes).square().mean() < free.G(codes).square().mean()
