"""The shared training loop: resumed, it ends bit for bit where it would have; diverging, it stops and says where."""

import dataclasses
import itertools
import math
import os
import signal

import pytest
import torch
from torch import nn

from course_lib import zoo
from course_lib.commands.zoo import main
from course_lib.data import DataFileError, Stream
from course_lib.recipes import RECIPES, Recipe
from course_lib.recipes import make as make_checkpoint
from course_lib.training import Runtime, TrainingDiverged, fit, guard, require_finite
from course_lib.training.resume import LastTwo, Snapshot, SnapshotDamaged, Snapshots
from course_lib.vq import VectorQuantizer
from tests.unit.proof import newest

N, BATCH, STEPS = (
    50,
    8,
    60,
)  # a pass over the data is 6 batches and 2 images left out; a snapshot every 3 steps


class Interrupting:
    """A loss that raises KeyboardInterrupt in its `at`-th call."""

    def __init__(self, loss, at=math.inf):
        self.loss, self.at, self.calls = loss, at, 0

    def __call__(self, images):
        self.calls += 1
        value = self.loss(images)  # first, so that its draws are made and have to be taken back
        if self.calls == self.at:
            raise KeyboardInterrupt
        return value


def images(rt):
    return rt.place(torch.rand(N, 1, 4, 4, generator=torch.Generator().manual_seed(9)) * 2 - 1)


def autoencoder(rt, latent=3):
    """With batch normalisation (buffers) and dropout (torch's own generator)."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 2, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(16, latent), nn.ReLU(), nn.Linear(latent, 16), nn.Unflatten(1, (1, 4, 4)),
    )  # fmt: skip
    model = rt.place(model)
    return model, lambda x: (model(x) - x).square().mean()


def vae(rt):
    """With noise from a generator that binarises the images too, and another one of the same number."""
    model, noise, more = rt.place(nn.Linear(16, 4)), rt.generator(2), rt.generator(2)

    def loss(x):
        x = (torch.rand(x.shape, generator=noise) < (x + 1) / 2).float()
        mean, log_var = model(x.flatten(1)).chunk(2, 1)
        z = mean + (log_var / 2).exp() * torch.randn(mean.shape, generator=more)
        back = (z @ model.weight[:2] - x.flatten(1)).square().sum(1)
        return (back + (mean.square() + log_var.exp() - log_var - 1).sum(1) / 2).mean()

    return model, loss


def vq(rt):
    """With far more codes than a batch uses, so that some are revived in almost every step."""

    class Quantized(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Conv2d(1, 3, 2, stride=2), nn.ConvTranspose2d(3, 1, 2, stride=2)
            self.quantizer = VectorQuantizer(48, 3, decay=0.8)

    model = rt.place(Quantized())

    def loss(x):
        q = model.quantizer(model.encoder(x))
        return (model.decoder(q.quantized) - x).square().mean() + q.commitment

    return model, loss


def run(make, folder=None, *, at=math.inf, resume=False, wrap=lambda loss: loss, **changes):
    """One process's share of a run: everything made from scratch, then `fit`. Gives model and loss."""
    kept = None if folder is None else Snapshots(folder, {"recipe": make.__name__}, resume=resume)
    rt = Runtime("gpu", "cpu", seed=changes.pop("seed", 0), snapshots=kept)
    model, loss = make(rt)
    loss = Interrupting(wrap(loss), at)
    data = images(rt)[: changes.pop("n", N)]
    batch = changes.get("batch", BATCH)
    batches = changes.pop("batches", None) or Stream(data, batch=batch, generator=rt.generator(1))
    settings = {
        "images": STEPS * BATCH,
        "batch": BATCH,
        "lr": 0.02,
        "clip": 1.0,
        "what": "tiny",
        "quiet": True,
    }
    fit(rt, model, batches, loss, **{**settings, **changes})
    return model, loss


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("make", [autoencoder, vae, vq])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path, make):
    """Interrupted early, in the middle, just after a snapshot, in the last step; and several times."""
    expected, _ = run(make)
    for points in ([5], [7], [34], [STEPS], [20, 20, 15]):
        folder, calls = tmp_path / str(points), 0
        for number, at in enumerate(points):
            with pytest.raises(KeyboardInterrupt):
                run(make, folder, at=at, resume=number > 0)
            calls = LastTwo(folder / "1").load()["images_seen"] // BATCH
            assert sum(points[: number + 1]) - 4 * (number + 1) <= calls < sum(points[: number + 1])
        model, loss = run(make, folder, resume=True)
        assert loss.calls == STEPS - calls  # it did go on, and did not start anew
        assert same_weights(model, expected)


def test_the_quantizer_does_draw_after_the_interruption(tmp_path):
    """Otherwise the test above would prove nothing about revived codes."""
    with pytest.raises(KeyboardInterrupt):
        run(vq, tmp_path, at=40)
    states = LastTwo(tmp_path / "1").load()
    kept = dict(zip(states["plan"]["generators"], states["generators"]))["model.quantizer.generator"]
    model, _ = run(vq, tmp_path, resume=True)
    assert not torch.equal(model.quantizer.generator.get_state(), kept)


def test_keeping_snapshots_changes_nothing_and_time_makes_them_too(tmp_path, monkeypatch):
    expected, _ = run(vae)
    assert same_weights(run(vae, tmp_path / "rare")[0], expected)
    monkeypatch.setattr(guard, "SECONDS", 0.0)
    assert same_weights(run(vae, tmp_path / "often")[0], expected)
    with pytest.raises(KeyboardInterrupt):
        run(vae, tmp_path / "often", at=3)  # a new run, too short for the first of its 20 regular snapshots
    assert LastTwo(tmp_path / "often" / "1").load()["images_seen"] == 2 * BATCH


def test_who_watches_is_called_after_each_step_with_what_it_made():
    rt, seen = Runtime("gpu", "cpu", seed=0), []
    model, loss = autoencoder(rt)
    weight = model[0].weight

    def watch(images_seen):
        seen.append((images_seen, weight.detach().clone()))

    stream = Stream(images(rt), batch=BATCH, generator=rt.generator(1))
    fit(rt, model, stream, loss, images=30 * BATCH, batch=BATCH, lr=0.02, what="t", quiet=True, watch=watch)
    assert [number for number, _ in seen] == [BATCH * (step + 1) for step in range(30)]
    assert torch.equal(seen[-1][1], weight)
    assert all(not torch.equal(a, b) for (_, a), (_, b) in itertools.pairwise(seen))


def test_an_interrupted_write_costs_one_snapshot_at_most(tmp_path, monkeypatch):
    replace, writes = os.replace, []

    def interrupted_the_third_time(*paths):
        writes.append(paths)
        if len(writes) == 3:
            raise KeyboardInterrupt
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted_the_third_time)
        with pytest.raises(KeyboardInterrupt):
            run(autoencoder, tmp_path)
    assert LastTwo(tmp_path / "1").load()["images_seen"] == 6 * BATCH  # the second of them
    assert same_weights(run(autoencoder, tmp_path, resume=True)[0], run(autoencoder)[0])


def test_a_run_of_two_loops_skips_the_first_when_it_is_through(tmp_path):
    """And the second draws what it would have drawn."""

    def both(resume=False, at=math.inf, folder=tmp_path):
        rt = Runtime("gpu", "cpu", snapshots=Snapshots(folder, {}, resume=resume))
        model, loss = vae(rt)
        first, second = Interrupting(loss), Interrupting(loss, at)
        batches = Stream(images(rt), batch=BATCH, generator=rt.generator(1))
        for one, what in ((first, "first"), (second, "second")):
            fit(rt, model, batches, one, images=160, batch=BATCH, lr=0.01, what=what, quiet=True)
        return model, first.calls, second.calls

    with pytest.raises(KeyboardInterrupt):
        both(at=10)
    model, *calls = both(resume=True)
    assert calls == [0, 11]
    expected, *calls = both(folder=tmp_path / "other")
    assert calls == [20, 20]
    assert same_weights(model, expected)


def wider(rt):
    return autoencoder(rt, latent=4)


wider.__name__ = "autoencoder"


@pytest.mark.parametrize(
    ("make", "changes", "match"),
    [
        (autoencoder, {"images": 488}, "expected images = 488, found 480"),
        (autoencoder, {"batch": 10}, "expected batch = 10, found 8"),
        (autoencoder, {"lr": 0.01}, r"expected lr = 0\.01, found 0\.02"),
        (autoencoder, {"clip": None}, r"expected clip = None, found 1\.0"),
        (autoencoder, {"weight_decay": 0.1}, r"expected weight_decay = 0\.1, found 0\.0"),
        (autoencoder, {"seed": 1}, "expected seed = 1, found 0"),
        (autoencoder, {"n": 49}, "batches: the state is of a stream with size = 50, this one has 49"),
        (wider, {}, r"expected the shape of model\.5\.weight = \(4, 16\), found \(3, 16\)"),
        (vae, {}, "expected recipe = 'vae', found 'autoencoder'"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, make, changes, match):
    with pytest.raises(KeyboardInterrupt):
        run(autoencoder, tmp_path, at=20)
    path = newest(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=match) as error:
        run(make, tmp_path, resume=True, **changes)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert "start anew without resuming" in str(error.value)
    assert path.read_bytes() == before


def test_generators_that_are_not_the_same_are_noticed(tmp_path):
    def fewer(rt):
        rt.generator(7)  # handed out and thrown away: neither kept nor missed
        return autoencoder(rt)

    def more(rt):
        model, loss = autoencoder(rt)
        model.noise = rt.generator(3)
        return model, loss

    more.__name__ = fewer.__name__
    with pytest.raises(KeyboardInterrupt):
        run(fewer, tmp_path, at=20)
    with pytest.raises(ValueError, match=r"generators = .*rt\.generator\(3\).*, found"):
        run(more, tmp_path, resume=True)
    run(fewer, tmp_path, resume=True)


def test_a_truncated_snapshot_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(vae, tmp_path, at=20)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataFileError, match=r"1-a\.safetensors is truncated"):
        run(vae, tmp_path, resume=True)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-10], lambda b: b[:-9] + bytes([b[-9] ^ 4]) + b[-8:], lambda b: b""]
)
def test_of_a_damaged_snapshot_the_one_before_is_gone_on_from_with_a_notice(tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        run(autoencoder, tmp_path, at=20)
    path = newest(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(SnapshotDamaged, match=rf"{path.name} is (truncated|altered).*the other snapshot"):
        model, loss = run(autoencoder, tmp_path, resume=True)
    assert loss.calls == STEPS - 15  # the last snapshot was after step 18
    assert same_weights(model, run(autoencoder)[0])


def test_what_cannot_be_resumed_is_refused_at_once(tmp_path):
    endless = iter(lambda: torch.zeros(BATCH, 1, 4, 4), None)
    run(autoencoder, batches=endless)  # without snapshots any iterator will do
    with pytest.raises(TypeError, match=r"batches: expected an object with state_dict.*data\.Stream"):
        run(autoencoder, tmp_path, batches=endless)
    with pytest.raises(ValueError, match="images must be a whole number >= 8"):
        run(autoencoder, images=7)
    with pytest.raises(
        ValueError, match=r"images: expected more than 80, .* first 10% of the steps .* got 80"
    ):
        run(autoencoder, images=80)


# Divergence


def spoilt_from(step, spoil):
    """Wraps a loss so that `spoil` changes its value from its `step`-th call on."""

    def wrap(loss):
        calls = []

        def wrapped(x):
            calls.append(x)
            return spoil(loss(x)) if len(calls) >= step else loss(x)

        return wrapped

    return wrap


@pytest.mark.parametrize("step", [1, 36, STEPS])
@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("loss = nan", lambda value: value * math.nan),
        ("loss = inf", lambda value: value / 0),
        ("gradient norm = nan", lambda value: value + (0 * value).sqrt()),  # a number whose slope is none
    ],
)
def test_divergence_is_reported_where_it_began_and_the_last_good_weights_stay(tmp_path, step, what, spoil):
    history = []  # of the healthy run: the weights after 0, 1, 2, ... steps

    def remembering(rt):
        model, loss = vae(rt)

        def wrapped(x):
            history.append({key: value.clone() for key, value in model.state_dict().items()})
            return loss(x)

        return model, wrapped

    run(remembering)
    with pytest.raises(TrainingDiverged) as caught:
        run(vae, tmp_path, wrap=spoilt_from(step, spoil))
    error = caught.value
    assert error.images_seen == step * BATCH
    assert f"{what} at {step * BATCH:,} images" in str(error)
    assert "smaller learning rate" in str(error)
    assert "\n" not in str(error)
    kept_at = (step - 1) // 3 * 3  # the last multiple of three steps before
    if kept_at == 0:
        assert error.snapshot is None
        assert not list(tmp_path.glob("*"))
        return
    assert error.snapshot == newest(tmp_path)
    assert f"at {kept_at * BATCH:,} images, is {error.snapshot}" in str(error)
    state = Snapshot(error.snapshot).load()
    assert state["images_seen"] == error.kept_at == kept_at * BATCH
    weights = state["parts"]["model"]
    assert all(torch.equal(weights[key], history[kept_at][key]) for key in weights)
    tensors = dict(guard._tensors(state["parts"]))
    assert sum("exp_avg" in name for name in tensors) == 4
    assert all(bool(x.isfinite().all()) for x in tensors.values() if x.is_floating_point())


def test_the_last_steps_are_looked_at_and_kept_too(tmp_path):
    """Those after the last regular look (at step 50) and after the last regular snapshot (at step 60 of 61)."""
    with pytest.raises(TrainingDiverged, match="loss = nan at 480 images; start anew"):
        run(vae, wrap=spoilt_from(STEPS, lambda value: value * math.nan))
    run(vae, tmp_path, images=61 * BATCH)
    assert LastTwo(tmp_path / "1").load()["images_seen"] == 61 * BATCH


def test_a_resumed_run_that_diverges_names_the_snapshot_it_began_with(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(vae, tmp_path, at=20)
    path = newest(tmp_path)
    before = path.read_bytes()
    with pytest.raises(
        TrainingDiverged, match=r"loss = nan at 152 images; .* at 144 images, is .*; to resume it"
    ):
        run(vae, tmp_path, resume=True, wrap=spoilt_from(1, lambda value: value * math.nan))
    assert path.read_bytes() == before


def test_after_a_divergence_the_kept_weights_can_be_trained_on(tmp_path):
    with pytest.raises(TrainingDiverged) as caught:
        run(autoencoder, tmp_path, wrap=spoilt_from(30, lambda value: value * math.nan))
    rt = Runtime("gpu", "cpu")
    model, loss = autoencoder(rt)
    model.load_state_dict(Snapshot(caught.value.snapshot).load()["parts"]["model"])
    batches = Stream(images(rt), batch=BATCH, generator=rt.generator(1))
    before = loss(images(rt)).item()
    fit(rt, model, batches, loss, images=800, batch=BATCH, lr=1e-3, what="slower", quiet=True)
    assert loss(images(rt)).item() < before


def test_weights_that_are_spoilt_in_silence_are_not_kept(tmp_path):
    """Loss and gradient are finite, and yet a buffer is not."""

    def buffered(rt):
        model, loss = vae(rt)
        model.register_buffer("average", torch.zeros(2))

        def spoiling(x):
            model.average[1] += math.inf if batches_seen.append(x) or len(batches_seen) == 31 else 1.0
            return loss(x)

        return model, spoiling

    batches_seen = []
    with pytest.raises(TrainingDiverged, match=r"model\.average = inf at 264 images") as caught:
        run(buffered, tmp_path)
    assert Snapshot(caught.value.snapshot).load()["parts"]["model"]["average"].tolist() == [0, 30]


def test_losses_are_read_together_and_not_one_by_one(monkeypatch):
    """Without snapshots: 200 steps, and the processor waits for the device 4 times instead of 200 or 400."""
    reads, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: reads.append(x.numel()) or cpu(x))
    run(autoencoder, images=200 * BATCH)
    assert reads == [100, 100, 100, 100]  # loss and gradient norm of 50 steps each
    calls = []
    with pytest.raises(TrainingDiverged, match="at 808 images; start anew"):
        run(
            autoencoder,
            images=200 * BATCH,
            wrap=lambda loss: lambda x: calls.append(x) or nan_at(calls, loss, x),
        )
    assert len(calls) == 150


def nan_at(calls, loss, x):
    return loss(x) * (math.nan if len(calls) == 101 else 1.0)


def test_require_finite_gives_the_number_or_stops():
    assert require_finite(torch.tensor(2.5, requires_grad=True), 100) == 2.5
    assert require_finite(3, 100) == 3.0
    for value in (math.nan, torch.tensor(math.inf), -math.inf):
        with pytest.raises(
            TrainingDiverged, match=rf"critic's loss = {float(value)} at 12,800 images; start anew"
        ):
            require_finite(value, 12_800, what="critic's loss")


# Through the zoo


@dataclasses.dataclass(frozen=True)
class TinyConfig:
    outputs: int = 4


@pytest.fixture
def tiny_recipe(tmp_path, monkeypatch):
    """A recipe named "tiny" that is interrupted at step `at[0]`, in folders of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    at = [math.inf]

    def train_tiny(rt, quiet, *, noise):
        model, loss = vae(rt)
        model.cfg = TinyConfig()
        batches = Stream(images(rt), batch=BATCH, generator=rt.generator(1))
        loss = Interrupting(loss, at[0])
        facts = fit(rt, model, batches, loss, images=480, batch=BATCH, lr=0.02, what="tiny", quiet=True)
        return model, {"data": "noise", **facts}

    def score(model):
        if at[0] == "score":
            raise KeyboardInterrupt
        return {"weight": {"value": model.weight.sum().item(), "ci95": 0.0, "n": 16}}

    recipe = Recipe(train_tiny, score, {"noise": 0.1})
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    return (
        at,
        tmp_path / "cache" / "training" / "tiny",
        tmp_path / "data" / "checkpoints" / "tiny.safetensors",
    )


def test_zoo_train_resumes_and_clears_up(tiny_recipe, capsys):
    at, folder, shipped = tiny_recipe
    expected_card = make_checkpoint("tiny", device="cpu", quiet=True)
    expected = shipped.read_bytes()
    assert not folder.exists()
    shipped.unlink()
    for point in (20, "score"):
        at[0] = point
        if point == 20:
            assert main(["train", "tiny"]) == 130
            assert "zoo train tiny --resume" in capsys.readouterr().err
        else:
            with pytest.raises(KeyboardInterrupt):
                make_checkpoint("tiny", device="cpu", quiet=True, resume=True)
        assert folder.exists()
        assert not shipped.exists()
    at[0] = 1  # the training is through: not one more step is made
    assert main(["train", "tiny", "--resume"]) == 0
    assert shipped.read_bytes() == expected
    assert {**zoo.info("tiny"), "minutes": 0} == {**expected_card, "minutes": 0}
    assert not folder.exists()
    with pytest.raises(ValueError, match=r"expected a training snapshot in .*tiny, found none"):
        make_checkpoint("tiny", device="cpu", quiet=True, resume=True)


def test_zoo_train_notices_other_settings(tiny_recipe, monkeypatch):
    at, _, _ = tiny_recipe
    at[0] = 20
    with pytest.raises(KeyboardInterrupt):
        make_checkpoint("tiny", device="cpu", quiet=True)
    recipe = RECIPES["tiny"]
    monkeypatch.setitem(RECIPES, "tiny", Recipe(recipe.train, recipe.score, {"noise": 0.2}))
    with pytest.raises(ValueError, match=r"expected noise = 0\.2, found 0\.1"):
        make_checkpoint("tiny", device="cpu", quiet=True, resume=True)


def test_time_before_the_interruption_counts(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(vae, tmp_path, at=20)
    snapshot = Snapshot(newest(tmp_path))
    snapshot.save({**snapshot.load(), "seconds": 3600.0})
    rt = Runtime("gpu", "cpu", snapshots=Snapshots(tmp_path, {"recipe": "vae"}, resume=True))
    model, loss = vae(rt)
    batches = Stream(images(rt), batch=BATCH, generator=rt.generator(1))
    fit(rt, model, batches, loss, images=480, batch=BATCH, lr=0.02, clip=1.0, what="tiny", quiet=True)
    assert 3600 < rt.seconds < 3660
    assert rt.elapsed().startswith("60 min")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"clip": 0.0}, "clip must be a finite number > 0"),
        ({"clip": -1.0}, "clip must be a finite number > 0"),
        ({"warm": 0.0}, "warm: expected a share"),
        ({"warm": 1.0}, "warm: expected a share"),
        ({"warm": -0.1}, "warm must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"batch": 16}, "minibatches of 16 images, got one of 8"),
    ],
)
def test_each_argument_is_checked_before_it_can_do_harm(changes, match):
    """A stream of 8 with a batch of 16 counted every image twice; clip=-1 climbed; warm=0 divided by zero."""
    model = nn.Linear(2, 1)
    stream = Stream(torch.randn(32, 2, generator=torch.Generator().manual_seed(0)), batch=8)
    arguments = {"images": 640, "batch": 8, "lr": 1e-3, "what": "t", "quiet": True} | changes
    with pytest.raises(ValueError, match=match):
        fit(Runtime("smoke", "cpu", seed=0), model, stream, lambda x: model(x).square().mean(), **arguments)


def test_a_frozen_model_is_told_apart_from_one_that_learns():
    model = nn.Linear(2, 1).requires_grad_(False)
    with pytest.raises(ValueError, match=r"frozen, as zoo\.load gives them"):
        fit(
            Runtime("smoke", "cpu", seed=0),
            model,
            Stream(torch.randn(32, 2), batch=8),
            lambda x: model(x).mean(),
            images=640,
            batch=8,
            lr=1e-3,
            what="t",
        )


def _diverge(step):
    raise TrainingDiverged("loss", math.nan, step, None, 0)


def test_a_diverged_training_in_a_pool_of_processes_is_reported_and_does_not_hang():
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(TrainingDiverged, match="loss = nan at 5 images") as told:
            pool.map_async(_diverge, [5]).get(timeout=60)
    assert (told.value.what, told.value.images_seen) == ("loss", 5)


def test_every_exception_of_the_library_survives_a_pickle():
    import importlib
    import inspect
    import pickle
    import pkgutil

    import course_lib

    found = set()
    for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, Exception) and kind.__module__.startswith("course_lib"):
                found.add(kind)
    assert TrainingDiverged in found
    for kind in found:
        error = TrainingDiverged("loss", 1.0, 3) if kind is TrainingDiverged else kind("said so")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_after_an_error_in_the_loop_ctrl_c_does_what_it_did_before(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        run(autoencoder, tmp_path, wrap=lambda loss: lambda x: 1 / 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_the_loop_after_its_step_and_keeps_it(tmp_path):
    def interrupting(loss):
        calls = []

        def wrapped(x):
            calls.append(x)
            if len(calls) == 7:
                signal.raise_signal(signal.SIGINT)
            return loss(x)

        return wrapped

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(autoencoder, tmp_path, wrap=interrupting)
    assert signal.getsignal(signal.SIGINT) is before
    assert (
        LastTwo(tmp_path / "1").load()["images_seen"] == 7 * BATCH
    )  # the regular ones are after every third step
    assert same_weights(run(autoencoder, tmp_path, resume=True)[0], run(autoencoder)[0])
