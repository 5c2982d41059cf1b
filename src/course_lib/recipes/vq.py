"""The vector-quantised autoencoder of chapter 7 and the prior over its tokens."""

from torch import Tensor, nn

from course_lib import data, zoo
from course_lib.cards import Facts, Score, mean
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Runtime, batched
from course_lib.vq import VQVAE, TokenPrior, TokenPriorConfig, perplexity

COMMITMENT = 0.25  # β of van den Oord et al. 2017, Eq. (3)


def train_vq_mnist(rt: Runtime, quiet: bool = False) -> tuple[nn.Module, Facts]:
    """`VQVAE` on the 60,000 MNIST training images: squared error and commitment, 15 epochs."""
    x, _ = data.mnist("train")
    model = rt.place(VQVAE())

    def loss(images: Tensor) -> Tensor:
        terms = model.terms(images)
        return terms.reconstruction + terms.codebook + COMMITMENT * terms.commitment

    facts = learn(rt, model, [x], loss, images=15 * len(x), batch=100, lr=1e-3, what="VQ-VAE", quiet=quiet)
    return model, {"data": "MNIST train", **facts}


def train_token_prior(rt: Runtime, quiet: bool = False) -> tuple[nn.Module, Facts]:
    """`TokenPrior` on the tokens that the shipped VQ-VAE gives the 60,000 MNIST training images: 10 epochs."""
    tokenizer = zoo.load("vq_mnist", rt.device)
    tokens = batched(tokenizer.encode, rt.place(data.mnist("train")[0]))
    cfg = TokenPriorConfig(tokenizer.cfg.codes, *tokenizer.grid)
    model = TokenPrior(cfg).to(rt.device)

    def loss(s: Tensor) -> Tensor:
        return -model.log_prob(s).mean() / s[0].numel()

    numbers = {"images": 10 * len(tokens), "batch": 100, "lr": 2e-3, "clip": 1.0, "weight_decay": 0.01}
    facts = learn(rt, model, [tokens], loss, **numbers, what="token prior", quiet=quiet)
    return model, {"data": "tokens of MNIST train by vq_mnist", **facts}


def score_vq_mnist(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """Squared error per pixel and perplexity of the tokens on the 10,000 MNIST test images."""
    x = data.mnist("test")[0][:n]
    tokens = batched(model.encode, x)
    error = (batched(model.decode, tokens) - x).square().flatten(1).mean(1)
    used = perplexity(tokens, model.cfg.codes)
    return {"test MSE": mean(error), "perplexity": {"value": used, "ci95": 0.0, "n": n, "kind": "distance"}}


def score_token_prior(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """-log p of the tokens of the 10,000 MNIST test images, in nats per image."""
    tokens = batched(zoo.load("vq_mnist").encode, data.mnist("test")[0][:n])
    return {"test -log p(tokens)": mean(-batched(model.log_prob, tokens))}


RECIPES = {
    "vq_mnist": Recipe(train_vq_mnist, score_vq_mnist),
    "token_prior": Recipe(train_token_prior, score_token_prior),
}
