"""Each pass is a permutation, and a resumed stream goes on exactly where it stopped."""

import itertools
import subprocess
import sys

import pytest
import torch

from course_lib.data import Stream


def take(stream, n):
    return list(itertools.islice(stream, n))


def numbered(n):
    return torch.arange(n, dtype=torch.float32).reshape(n, 1)


def test_one_tensor_yields_tensors_and_several_yield_tuples():
    x, y = torch.randn(10, 1, 4, 4), torch.arange(10)
    assert next(Stream(x, batch=3)).shape == (3, 1, 4, 4)
    x_batch, y_batch = next(Stream(x, y, batch=3))
    assert torch.equal(x_batch, x[y_batch])


@pytest.mark.parametrize("drop_last", [True, False])
def test_an_epoch_covers_each_index_exactly_once(drop_last):
    stream = Stream(numbered(12), batch=4, drop_last=drop_last)
    epochs = [torch.cat(take(stream, 3)).flatten().long() for _ in range(3)]
    for epoch in epochs:
        assert epoch.sort().values.tolist() == list(range(12))
    assert not torch.equal(epochs[0], epochs[1])


def test_the_rest_is_left_out_or_yielded_short():
    dropping = Stream(numbered(10), batch=4)
    assert [len(b) for b in take(dropping, 5)] == [4, 4, 4, 4, 4]
    assert dropping.epoch == 3
    assert dropping.batches_per_epoch == 2
    first_pass = torch.cat(take(Stream(numbered(10), batch=4), 2)).flatten()
    assert len(first_pass.unique()) == 8
    keeping = Stream(numbered(10), batch=4, drop_last=False)
    batches = take(keeping, 6)
    assert [len(b) for b in batches] == [4, 4, 2, 4, 4, 2]
    assert torch.cat(batches[3:]).flatten().sort().values.tolist() == list(range(10))
    assert keeping.batches_per_epoch == 3


def test_images_are_counted():
    stream = Stream(numbered(10), batch=4, drop_last=False)
    assert (stream.images_seen, stream.epoch) == (0, 0)
    take(stream, 4)
    assert (stream.images_seen, stream.epoch) == (14, 2)


def test_every_image_comes_equally_often_in_the_long_run():
    stream = Stream(torch.arange(10), batch=3)
    counts = torch.cat(take(stream, 3000)).bincount()
    assert counts.sum() == 9000
    # One of ten is left out of each of 1000 passes: binomial with standard deviation 9.5
    assert (counts - 900).abs().max() < 50


def test_a_batch_of_everything():
    assert next(Stream(numbered(5), batch=5)).flatten().sort().values.tolist() == [0, 1, 2, 3, 4]


def test_the_order_depends_on_the_generator_alone():
    def draw(seed):
        return torch.cat(
            take(Stream(numbered(50), batch=5, generator=torch.Generator().manual_seed(seed)), 20)
        )

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    state = torch.get_rng_state()
    default = torch.cat(take(Stream(numbered(50), batch=5), 20))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(default, draw(0))


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("drop_last", [True, False])
def test_resume_equality(steps, drop_last):
    def make():
        return Stream(numbered(10), torch.arange(10), batch=4, drop_last=drop_last)

    stream = make()
    take(stream, steps)
    state = stream.state_dict()
    expected = take(stream, 9)
    resumed = make()
    take(resumed, 5)  # whatever it did before
    resumed.load_state_dict(state)
    for (xa, ya), (xb, yb) in zip(expected, take(resumed, 9), strict=True):
        assert torch.equal(xa, xb)
        assert torch.equal(ya, yb)
    assert (resumed.images_seen, resumed.epoch) == (stream.images_seen, stream.epoch)


def test_resume_with_a_generator_that_others_draw_from_too():
    def make():
        generator = torch.Generator().manual_seed(5)
        return Stream(numbered(9), batch=4, generator=generator), generator

    def step(stream, generator):
        return next(stream).flatten(), torch.randn(2, generator=generator)

    stream, generator = make()
    for _ in range(3):
        step(stream, generator)
    state = stream.state_dict()
    expected = [step(stream, generator) for _ in range(5)]
    resumed, generator = make()
    resumed.load_state_dict(state)
    for (a, noise_a), (b, noise_b) in zip(
        expected, [step(resumed, generator) for _ in range(5)], strict=True
    ):
        assert torch.equal(a, b)
        assert torch.equal(noise_a, noise_b)


def test_resume_through_a_file_in_another_process(tmp_path):
    code = """
import sys, itertools, torch
from course_lib.data import Stream
stream = Stream(torch.arange(100), batch=7)
if sys.argv[1] == "save":
    list(itertools.islice(stream, 11)); torch.save(stream.state_dict(), sys.argv[2])
else:
    stream.load_state_dict(torch.load(sys.argv[2], weights_only=True))
print(torch.cat(list(itertools.islice(stream, 20))).tolist())
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, mode, str(tmp_path / "state")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for mode in ("save", "load")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 300


def test_a_state_is_a_snapshot():
    stream = Stream(numbered(10), batch=4)
    next(stream)
    state = stream.state_dict()
    kept = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}
    take(stream, 10)
    assert all(
        torch.equal(state[k], v) if isinstance(v, torch.Tensor) else state[k] == v for k, v in kept.items()
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"size": 11}, ValueError),
        ({"batch": 5}, ValueError),
        ({"drop_last": False}, ValueError),
        ({"position": 11}, ValueError),
        ({"position": -1}, ValueError),
        ({"position": 2.0}, TypeError),
        ({"images_seen": -1}, ValueError),
        ({"epoch": "1"}, TypeError),
        ({"generator": torch.zeros(3, dtype=torch.uint8)}, ValueError),
        ({"epoch_start": torch.zeros(5)}, ValueError),
        ({"epoch_start": None}, ValueError),
    ],
)
def test_wrong_states_are_refused_and_change_nothing(change, error):
    stream, twin = Stream(numbered(10), batch=4), Stream(numbered(10), batch=4)
    next(stream)
    next(twin)
    with pytest.raises(error):
        stream.load_state_dict({**stream.state_dict(), **change})
    assert all(torch.equal(a, b) for a, b in zip(take(stream, 5), take(twin, 5), strict=True))
    assert stream.images_seen == twin.images_seen


def test_incomplete_state():
    stream = Stream(numbered(10), batch=4)
    with pytest.raises(ValueError, match="missing size"):
        stream.load_state_dict({})
    with pytest.raises(TypeError, match="mapping"):
        stream.load_state_dict([1])


NAN = torch.tensor([[0.0], [float("nan")]])


@pytest.mark.parametrize(
    ("tensors", "arguments", "error"),
    [
        ([[1, 2]], {}, TypeError),
        ([torch.zeros(3), [1, 2, 3]], {}, TypeError),
        ([torch.tensor(1.0)], {}, ValueError),
        ([torch.zeros(0, 3)], {}, ValueError),
        ([torch.zeros(3, 0)], {}, ValueError),
        ([torch.zeros(3), torch.zeros(4)], {}, ValueError),
        ([NAN], {}, ValueError),
        ([torch.zeros(2), NAN], {}, ValueError),
        ([NAN.nan_to_num() - float("inf")], {}, ValueError),
        ([torch.zeros(3)], {"batch": 0}, ValueError),
        ([torch.zeros(3)], {"batch": -1}, ValueError),
        ([torch.zeros(3)], {"batch": 4}, ValueError),
        ([torch.zeros(3)], {"batch": 2.0}, TypeError),
        ([torch.zeros(3)], {"generator": 0}, TypeError),
        ([torch.zeros(3)], {"drop_last": 1}, TypeError),
    ],
)
def test_bad_arguments(tensors, arguments, error):
    with pytest.raises(error, match=r"received|has 4"):
        Stream(*tensors, **{"batch": 1, **arguments})


def test_large_finite_values_are_fine():
    Stream(torch.full((4,), 3e38), batch=1)  # their sum overflows, they do not


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_the_gpu():
    stream = Stream(numbered(10), torch.arange(10), batch=5, device="cuda")
    x, y = next(stream)
    assert x.is_cuda
    assert y.is_cuda
    state = stream.state_dict()
    expected = take(stream, 4)
    again = Stream(numbered(10), torch.arange(10), batch=5, device="cuda")
    again.load_state_dict(state)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(expected, take(again, 4), strict=True))
    on_cpu = Stream(numbered(10), torch.arange(10), batch=5)
    assert torch.equal(next(on_cpu)[1], y.cpu())  # one seed, the same batches on every device


def test_a_cpu_generator_serves_data_on_another_device():
    """As on a GPU, which tests cannot count on: `meta` is a device of its own that holds no numbers."""
    stream = Stream(numbered(10), torch.arange(10), batch=5, device="meta", generator=torch.Generator())
    x, y = next(stream)
    assert x.device.type == y.device.type == "meta"
    assert len(x) == len(y) == 5
