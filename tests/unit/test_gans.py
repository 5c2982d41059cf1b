"""DCGAN's networks: their shapes, what normalises what, the classes, and sampling that no neighbour changes."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import Objective, gradient_penalty, nonsaturating, wasserstein
from tests.unit.proof import generator, rejects

SMALL = GANConfig(resolution=8, latent=5, width=6)
BY_CLASS = dataclasses.replace(SMALL, classes=3)
AVATARS = GANConfig(resolution=64, colours=3)


def made(cfg=None, seed=0):
    torch.manual_seed(seed)
    return GAN(cfg)


def noise(n, *shape, seed=0):
    return torch.randn(n, *shape, generator=generator(seed))


# ---- shapes and sizes


@pytest.mark.parametrize(
    ("resolution", "core", "channels"),
    [
        (8, 4, (32,)),
        (10, 5, (32,)),
        (12, 6, (32,)),
        (14, 7, (32,)),
        (28, 7, (32, 64)),
        (32, 4, (32, 64, 128)),
        (48, 6, (32, 64, 128)),
        (64, 4, (32, 64, 128, 128)),
    ],
)
def test_feature_maps_are_doubled_from_core_to_image_and_halved_back(resolution, core, channels):
    cfg = GANConfig(resolution=resolution, latent=3)
    assert (cfg.core, cfg.channels, cfg.image_shape) == (core, channels, (1, resolution, resolution))
    gan, seen = made(cfg), {}
    for name, layer in gan.named_modules():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    gan.D(gan.G(noise(2, 3)))
    sizes = [core * 2**i for i in range(len(channels) + 1)]
    made_maps = [shape for name, shape in seen.items() if name.startswith("G.net.") and len(shape) == 4]
    assert {shape[2] for shape in made_maps} == set(sizes)
    for halvings, width in enumerate(channels, 1):  # as wide on the way up as on the way down
        expected = (2, width, resolution // 2**halvings, resolution // 2**halvings)
        assert expected in made_maps
        assert expected in [shape for name, shape in seen.items() if name.startswith("D.")]


@pytest.mark.parametrize("resolution", [28, 32, 64])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("classes", [0, 4])
def test_codes_become_images_and_images_logits(resolution, colours, classes):
    gan = made(GANConfig(resolution=resolution, colours=colours, classes=classes, latent=7, width=4))
    labels = (torch.arange(5) % 4,) if classes else ()
    images = gan.G(noise(5, 7), *labels)
    assert images.shape == (5, colours, resolution, resolution) == (5, *gan.cfg.image_shape)
    assert float(images.detach().abs().max()) <= 1
    assert gan.D(images, *labels).shape == (5,)
    assert gan.sample(5, generator(), *labels).shape == images.shape


@pytest.mark.parametrize(
    "cfg", [GANConfig(), GANConfig(classes=10), GANConfig(normalise=False), AVATARS], ids=str
)
def test_parameters_are_few_enough_to_ship(cfg):
    assert sum(p.numel() for p in GAN(cfg).parameters()) <= 1_250_000


@pytest.mark.parametrize("cfg", [GANConfig(), BY_CLASS, AVATARS], ids=str)
def test_configs_survive_json(cfg):
    again = GANConfig(**json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert again == cfg
    GAN(again).load_state_dict(GAN(cfg).state_dict())


# ---- what the paper says


def test_activations_and_normalisation_are_where_the_paper_has_them():
    """Radford et al. 2016, "Architecture guidelines": none on the generator's output and the discriminator's input."""
    gan = made(AVATARS)
    kinds = [type(layer).__name__ for layer in gan.G.net]
    assert kinds[0:4] == ["Linear", "_Maps", "BatchNorm2d", "ReLU"]
    assert kinds[4:-2] == ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3
    assert kinds[-2:] == ["ConvTranspose2d", "Tanh"]
    kinds = [type(layer).__name__ for layer in gan.D.features]
    assert kinds[:2] == ["Conv2d", "LeakyReLU"]
    assert kinds[2:-1] == ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3
    assert all(layer.negative_slope == 0.2 for layer in gan.D.modules() if isinstance(layer, nn.LeakyReLU))


def test_weights_start_small_with_batch_normalisation_and_as_usual_without():
    gan = made(dataclasses.replace(AVATARS, classes=5))
    for layer in gan.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
            assert abs(float(layer.weight.detach().mean())) < 0.002
        if isinstance(layer, nn.BatchNorm2d):
            assert float(layer.weight.detach().mean()) == pytest.approx(1, abs=0.02)
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.6)

    critic = made(dataclasses.replace(AVATARS, normalise=False)).D
    for layer in critic.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):  # U(-1/√fan-in, 1/√fan-in)
            reach = layer.weight[0].numel() ** -0.5
            assert 0.9 * reach < float(layer.weight.detach().abs().max()) <= reach


@pytest.mark.parametrize("normalise", [True, False])
def test_the_class_does_not_drown_the_image_at_the_start(normalise):
    def check(D):
        x = noise(64, 1, 28, 28).tanh()
        h = D.features(x)
        alone = D.logit(h).squeeze(1)  # (64,)
        by_class = torch.stack([D(x, torch.full((64,), k)) for k in range(10)]) - alone  # (10, 64)
        assert float(by_class.std()) < 5 * float(D.logit.weight.std() * h.norm(dim=1).mean())

    D = made(GANConfig(classes=10, normalise=normalise)).D.requires_grad_(False)
    check(D)
    D.classes.reset_parameters()  # N(0, 1)
    assert rejects(check, D)


# ---- a discriminator ends in logits


def test_the_discriminator_has_no_sigmoid_of_its_own():
    """With one, its loss could not fall below log(1 + 1/e) + log 2, about 1.006: logits would be from 0 to 1."""
    real, fake = noise(16, 1, 8, 8).tanh(), noise(16, 1, 8, 8, seed=1).tanh()

    def learnt(wrap):
        gan = made(SMALL)
        optimizer = torch.optim.Adam(gan.D.parameters(), 2e-2)
        objective = Objective(wrap(gan.D), nonsaturating)
        for _ in range(40):
            verdict = objective(real, fake, generator())
            optimizer.zero_grad()
            verdict.total.backward()
            optimizer.step()
        return float(verdict.loss.detach())

    def check(wrap):
        assert learnt(wrap) < 0.3

    check(lambda D: D)
    assert rejects(check, lambda D: nn.Sequential(D, nn.Sigmoid()))


def test_the_generator_can_learn_a_batch_by_heart():
    gan, z = made(SMALL), noise(8, 5)
    x = F.interpolate(noise(8, 1, 4, 4, seed=1), scale_factor=2).tanh()
    optimizer = torch.optim.Adam(gan.G.parameters(), 1e-2)
    errors = []
    for _ in range(150):
        error = (gan.G(z) - x).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < errors[0] / 5


def test_every_parameter_of_both_is_trained():
    for cfg in (SMALL, BY_CLASS, dataclasses.replace(BY_CLASS, normalise=False), GANConfig(width=4)):
        gan = made(cfg)
        y = (torch.arange(6) % 3,) if cfg.classes else ()
        gan.D(gan.G(noise(6, cfg.latent), *y), *y).square().sum().backward()
        for name, parameter in gan.named_parameters():
            assert float(parameter.grad.abs().sum()) > 0, name


def test_the_critic_has_no_batch_normalisation_and_the_discriminator_has():
    critic = made(GANConfig(normalise=False)).D
    Objective(critic, wasserstein, [(gradient_penalty, 10.0)])
    with pytest.raises(ValueError, match=r"found it in features\.3; .*normalise=False"):
        Objective(made(GANConfig()).D, wasserstein, [(gradient_penalty, 10.0)])
    x, other = noise(4, 1, 28, 28), noise(4, 1, 28, 28, seed=1)
    with torch.no_grad():
        assert torch.allclose(critic(x), critic(torch.cat([x, other]))[:4], atol=1e-6)


# ---- classes


def test_the_class_enters_the_discriminator_as_a_projection():
    """Its logit is that without classes plus the inner product of the class vector with the features."""
    gan = made(BY_CLASS).eval()
    x, y = noise(6, 1, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0])
    h = gan.D.features(x)
    vectors = gan.D.classes.weight
    expected = [h[i] @ gan.D.logit.weight[0] + gan.D.logit.bias[0] + h[i] @ vectors[y[i]] for i in range(6)]
    assert torch.allclose(gan.D(x, y), torch.stack(expected), atol=1e-6)
    with torch.no_grad():
        vectors.zero_()  # then the classes are all one
    assert torch.equal(gan.D(x, y), gan.D(x, (y + 1) % 3))


def test_the_generator_reads_the_class_beside_the_code():
    gan = made(BY_CLASS).eval()
    z, y = noise(6, 5), torch.tensor([0, 1, 2, 2, 1, 0])
    one_hot = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert torch.equal(gan.G(z, y), gan.G.net(torch.cat([z, one_hot.float()], 1)))
    assert not torch.allclose(gan.G(z, y), gan.G(z, (y + 1) % 3), atol=1e-4)


# ---- sampling


@pytest.fixture
def warm():
    """A generator whose running statistics are not those of the next batch."""
    gan = made(BY_CLASS)
    for seed in range(20):
        gan.G(noise(64, 5, seed=seed) + 0.5, torch.arange(64) % 3)
    return gan


def test_samples_do_not_depend_on_their_neighbours(warm):
    y = torch.arange(9) % 3

    def check(sample):
        z = warm.codes(9, generator(4))
        alone = torch.cat([sample(z[i : i + 1], y[i : i + 1]) for i in range(9)])
        assert torch.allclose(sample(z, y), alone, atol=1e-5)

    def through_sample(z, y):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(warm, "codes", lambda n, generator: z)
            return warm.sample(len(z), generator(), y)

    def in_training_mode(z, y):
        with torch.no_grad():
            return warm.G.train()(z, y)

    check(through_sample)
    assert rejects(check, in_training_mode)


def test_samples_are_the_generators_images_of_codes_from_the_prior(warm):
    y = torch.arange(9) % 3
    images = warm.sample(9, generator(4), y)
    expected = warm.G.eval()(torch.randn(9, 5, generator=generator(4)), y)
    assert torch.equal(images, expected.detach())
    assert torch.allclose(warm.sample(9, generator(4), y, batch=2), images, atol=1e-5)
    assert not torch.equal(warm.sample(9, generator(5), y), images)
    assert not images.requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_sampling_leaves_the_model_as_it_was(warm, training):
    warm.train(training)
    before = {key: value.clone() for key, value in warm.state_dict().items()}
    warm.sample(9, generator(), torch.arange(9) % 3)
    with pytest.raises(ValueError, match="y: expected labels"):
        warm.sample(9, generator())
    assert all(torch.equal(value, before[key]) for key, value in warm.state_dict().items())
    assert warm.G.training is warm.D.training is training


def test_codes_are_standard_normal():
    z = made(SMALL).codes(4000, generator())
    assert z.shape == (4000, 5)
    assert float(z.mean(0).abs().max()) < 4.5 / 4000**0.5
    assert float((z.T.cov() - torch.eye(5)).abs().max()) < 0.12
    assert torch.equal(z, made(SMALL).codes(4000, generator()))


# ---- bad input

PLAIN, CLASSY = made(SMALL), made(BY_CLASS)
IMAGES, CODES, LABELS = noise(4, 1, 8, 8), noise(4, 5), torch.arange(4) % 3


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        *[
            (
                lambda r=r: GANConfig(resolution=r),
                ValueError,
                f"resolution: expected 4, 5, 6 or 7 doubled.*got {r}$",
            )
            for r in (1, 2, 3, 4, 7, 9, 30, 36)
        ],
        (lambda: GANConfig(resolution=0), ValueError, "resolution must be .*received 0"),
        (lambda: GANConfig(resolution=28.0), TypeError, "resolution must be .*28.0"),
        (lambda: GANConfig(colours=0), ValueError, "colours must be .*received 0"),
        (lambda: GANConfig(latent=0), ValueError, "latent must be .*received 0"),
        (lambda: GANConfig(width=0), ValueError, "width must be .*received 0"),
        (lambda: GANConfig(widest=0), ValueError, "widest must be .*received 0"),
        (lambda: GANConfig(classes=-1), ValueError, "classes must be .*received -1"),
        (lambda: PLAIN.G(noise(4, 6)), ValueError, r"z: expected codes of shape \(N, 5\), got \(4, 6\)"),
        (lambda: PLAIN.G(noise(5)), ValueError, r"z: expected codes of shape \(N, 5\), got \(5,\)"),
        (lambda: PLAIN.G(CODES, LABELS), ValueError, "y: expected None, got labels"),
        (lambda: CLASSY.G(CODES), ValueError, "y: expected labels from 0 to 2, because .* got None"),
        (
            lambda: CLASSY.G(CODES, LABELS[:1]),
            ValueError,
            r"y: expected 4 labels of torch.int64, got shape \(1,\)",
        ),
        (
            lambda: CLASSY.G(CODES, LABELS.float()),
            ValueError,
            "y: expected 4 labels of torch.int64, .*torch.float32",
        ),
        (
            lambda: PLAIN.D(noise(4, 3, 8, 8)),
            ValueError,
            r"x: expected images of shape \(N, 1, 8, 8\), got \(4, 3, 8, 8\)",
        ),
        (lambda: PLAIN.D(IMAGES[0]), ValueError, r"\(N, 1, 8, 8\), got \(1, 8, 8\)"),
        (lambda: PLAIN.D(IMAGES, LABELS), ValueError, "y: expected None, got labels"),
        (lambda: CLASSY.D(IMAGES), ValueError, "y: expected labels from 0 to 2, because .* got None"),
        (
            lambda: CLASSY.D(IMAGES, LABELS[:1]),
            ValueError,
            r"y: expected 4 labels .*\(1,\)",
        ),  # would be broadcast
        (lambda: CLASSY.D(IMAGES, LABELS[:, None]), ValueError, r"y: expected 4 labels .*\(4, 1\)"),
        (lambda: PLAIN.sample(0, generator()), ValueError, "n must be .*received 0"),
        (lambda: PLAIN.sample(4, generator(), batch=0), ValueError, "batch must be .*received 0"),
        (lambda: PLAIN.sample(4, generator(), LABELS), ValueError, "y: expected None, got labels"),
        (lambda: CLASSY.sample(4, generator()), ValueError, "y: expected labels from 0 to 2"),
        (
            lambda: CLASSY.sample(4, generator(), LABELS + 1),
            ValueError,
            "y: expected labels from 0 to 2, got 1 to 3",
        ),
        (
            lambda: CLASSY.sample(5, generator(), LABELS),
            ValueError,
            "y: expected one label per image, that is 5, got 4",
        ),
        (
            lambda: CLASSY.sample(4, generator(), [0, 1, 2, 0]),
            TypeError,
            "y: expected a torch tensor, got list",
        ),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_labels_from_one_are_refused_by_either_network():
    """PyTorch says "index out of range in self"."""
    gan = GAN(GANConfig(width=2, latent=3, classes=10))
    y = torch.arange(1, 11)
    for use in (lambda: gan.G(torch.zeros(10, 3), y), lambda: gan.D(torch.zeros(10, 1, 28, 28), y)):
        with pytest.raises(ValueError, match="y: expected labels from 0 to 9, got 1 to 10"):
            use()


def test_a_number_in_the_place_of_a_generator_is_told_what_to_make():
    with pytest.raises(TypeError, match=r"generator: expected a torch\.Generator, got 0 of type int"):
        GAN(GANConfig(width=2)).sample(1, 0)
