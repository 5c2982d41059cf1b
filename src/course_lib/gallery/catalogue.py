"""What the model zoo's page says of each checkpoint in words, the kind of its pictures, and what its scores mean."""

from typing import NamedTuple


class Item(NamedTuple):
    """A checkpoint in words."""

    chapter: int  # the one that trains it or tells how it was trained
    title: str
    text: str
    strip: str | None = None  # which of `pictures.STRIPS` shows it; None if there is nothing to show
    shows: str = "digits"  # what is in its pictures


CATALOGUE: dict[str, Item] = {
    "digit_classifier": Item(
        1,
        "Digit classifier",
        "A convolutional network that names digits. It saw them slightly turned, scaled and shifted. Its last hidden "
        "layer is the space of features in which the course compares digits.",
    ),
    "ae_mnist_2": Item(
        4,
        "Autoencoder, 2 numbers",
        "A deep autoencoder whose code is a point in the plane. It is trained on the squared error alone.",
        "reconstructions",
    ),
    "ae_mnist_8": Item(
        4,
        "Autoencoder, 8 numbers",
        "The same autoencoder with a code of 8 numbers. On the leaderboard a Gaussian, fitted to its codes, makes it a "
        "generator.",
        "reconstructions",
    ),
    "ae_mnist_32": Item(
        4,
        "Autoencoder, 32 numbers",
        "The same autoencoder with a code of 32 numbers.",
        "reconstructions",
    ),
    "ae_cifar10": Item(
        4,
        "Autoencoder of photographs",
        "A convolutional autoencoder of small colour photographs. Half of those that it saw were mirrored.",
        "reconstructions",
        "photographs",
    ),
    "vae_mnist_2": Item(
        6,
        "VAE, 2 latents",
        "A variational autoencoder whose latent space can be drawn as a map. It maximises the whole evidence lower "
        "bound.",
        "samples",
    ),
    "vae_mnist_2_reconstruction": Item(
        6,
        "VAE, 2 latents, reconstruction only",
        "The same network without the divergence in its loss. Its codes need not follow the prior, so draws from the "
        "prior may miss them.",
        "samples",
    ),
    "vae_mnist_2_kl": Item(
        6,
        "VAE, 2 latents, divergence only",
        "The same network without the reconstruction in its loss. The codes follow the prior, and "
        "the decoder has learned nothing, so every draw is grey.",
        "samples",
    ),
    "vae_mnist_20": Item(
        6,
        "VAE, 20 latents",
        "The course's main variational autoencoder, with convolutions. Chapters 5 and 7, and those on scores, use it "
        "too.",
        "samples",
    ),
    "beta_vae_discs": Item(
        6,
        "β-VAE of moving discs",
        "A variational autoencoder whose divergence has a larger weight. It is trained on discs of known position, "
        "size and brightness, to ask whether one latent stands for one of them.",
        "samples",
        "moving discs",
    ),
    "vq_mnist": Item(
        7,
        "VQ-VAE",
        "A tokeniser. It writes a digit as a small grid of entries from a codebook, and draws it from them.",
        "reconstructions",
    ),
    "token_prior": Item(
        7,
        "Token prior",
        "A small transformer that writes the tokens of `vq_mnist` one after another. Together they draw digits.",
        "samples",
    ),
    "vae_one_level": Item(
        7,
        "VAE with one level",
        "The plain partner of `vae_two_level`: as many latents below, and as many pictures seen.",
        "samples",
    ),
    "vae_two_level": Item(
        7,
        "VAE with two levels",
        "A hierarchy. The prior of the lower latents is a network that reads the upper ones.",
        "samples",
    ),
    "dcgan_mnist": Item(
        9,
        "DCGAN of digits",
        "Generator and discriminator are convolutional. The discriminator has no batch normalisation but the penalty "
        "R1, and the generator's weights are averaged.",
        "samples",
    ),
    "cdcgan_mnist": Item(
        9,
        "DCGAN of digits, by class",
        "A conditional DCGAN with the settings of 2016: both networks are told which digit it is to be.",
        "classes",
    ),
    "dcgan_avatars": Item(
        9,
        "DCGAN of faces",
        "The same idea for drawn faces in colour. Here, too, R1 stands in the place of the discriminator's batch "
        "normalisation.",
        "samples",
        "drawn faces",
    ),
    "avatar_classifier": Item(
        9,
        "Classifier of drawn faces",
        "It names eight attributes of a face at once, from the head to the glasses. It saw shifted, blurred and noisy "
        "faces, so that it can judge what generators draw.",
    ),
    "wgan_mnist": Item(
        10,
        "WGAN of digits, clipped",
        "A critic in the place of the discriminator, kept from getting steep by clipping its weights.",
        "samples",
    ),
    "wgan_gp_mnist": Item(
        10,
        "WGAN-GP of digits",
        "A critic, kept from getting steep by a penalty on its slope.",
        "samples",
    ),
    "vae_discs": Item(
        10,
        "VAE of discs",
        "A variational autoencoder of discs with 32 radii, whose every right answer is known.",
        "samples",
        "discs",
    ),
    "wgan_discs": Item(
        10,
        "WGAN of discs, clipped",
        "The clipped critic on the same discs.",
        "samples",
        "discs",
    ),
    "wgan_gp_discs": Item(
        10,
        "WGAN-GP of discs",
        "The critic with the penalty on the same discs.",
        "samples",
        "discs",
    ),
    "stylegan_avatars": Item(
        11,
        "StyleGAN",
        "Drawn faces from a mapping network, AdaIN at every layer, and noise. It grew from 8 × 8 to 64 × 64 pixels.",
        "samples",
        "drawn faces",
    ),
    "stylegan2_avatars": Item(
        11,
        "StyleGAN2",
        "The successor, with modulated and demodulated weights. It saw the same faces as often.",
        "samples",
        "drawn faces",
    ),
    "r3gan_stacked": Item(
        12,
        "R3GAN of stacked digits",
        "Three digits, one in each colour channel, make 1,000 modes that can be counted. The loss is relativistic, "
        "with the penalties R1 and R2.",
        "samples",
        "stacked digits",
    ),
    "r3gan_avatars": Item(
        12,
        "R3GAN of faces",
        "The same loss on the drawn faces of chapters 9 and 11.",
        "samples",
        "drawn faces",
    ),
    "vq_avatars": Item(
        12,
        "VQ-VAE of faces",
        "Chapter 7's tokeniser for drawn faces, trained on the squared error.",
        "reconstructions",
        "drawn faces",
    ),
    "vqgan_avatars": Item(
        12,
        "VQGAN of faces",
        "The same tokeniser on the same faces, with a perceptual and an adversarial loss besides.",
        "reconstructions",
        "drawn faces",
    ),
    "deepfake_avatars": Item(
        12,
        "Face swap",
        "One encoder for two drawn people, and a decoder for each of them. A swap encodes one and decodes the other.",
        "swaps",
        "drawn faces",
    ),
    "expression_classifier": Item(
        12,
        "Classifier of expressions",
        "It names mouth, eyes and eyebrows of the two drawn people, and who it is. It judges the swaps.",
    ),
    "adain_transfer": Item(
        16,
        "Style transfer in one pass",
        "A decoder behind a frozen network. It paints a photograph in the manner of any other picture, and was trained "
        "on neither of those shown here.",
        "styles",
        "photographs",
    ),
    "flow_mnist": Item(
        17,
        "Flow matching on digits",
        "A network that learned which way to move from noise to a digit. It can be told which digit.",
        "classes",
    ),
    "ddpm_mnist": Item(
        17,
        "Diffusion on digits",
        "The same network, which learned to name the noise in a noisy digit.",
        "classes",
    ),
    "flow_latents": Item(
        17,
        "Flow of codes",
        "Flow matching on the codes of `ae_mnist_32`, whose decoder turns them into digits.",
        "samples",
    ),
}

# The names of scores on cards -> (chapter that explains them, what they say); … stands for any word.
SCORES: dict[str, tuple[int, str]] = {
    "test accuracy": (1, "Share of test pictures that are named right."),
    "accuracy of …": (9, "Share of held-out pictures whose attribute is named right."),
    "test MSE": (2, "Mean squared error of reconstructed test pictures, whose values go from −1 to 1."),
    "MSE": (2, "Mean squared error of reconstructed faces that were held out, whose values go from −1 to 1."),
    "MSE of reconstructions": (12, "Mean squared error of a person's pictures, decoded as that person."),
    "MSE of swaps": (12, "Mean squared error of swapped faces from the true picture of the other person."),
    "test -ELBO": (5, "Minus the evidence lower bound on test pictures, in nats a picture. Less is better."),
    "test KL": (5, "The part of it that is the divergence from the prior."),
    "test -IWAE-500": (5, "Minus the bound with 500 draws a picture, which is tighter."),
    "test -log p(tokens)": (7, "Minus the log-probability of a test picture's tokens, in nats."),
    "perplexity": (7, "How many entries of the codebook are in use, in effect."),
    "MIG": (6, "Mutual information gap: 1 if each factor has a latent of its own, 0 if none has."),
    "Fréchet distance, digits": (
        13,
        "Distance of samples from test pictures, in the digit classifier's features.",
    ),
    "Fréchet distance, ImageNet": (13, "Distance of samples from held-out faces, in ImageNet features."),
    "Fréchet distance, avatars": (
        13,
        "Distance of reconstructions from faces, in the face classifier's features.",
    ),
    "recall, ImageNet": (13, "Share of held-out faces within reach of a sample, in ImageNet features."),
    "distance of features": (
        12,
        "How far a face's features are from those of its reconstruction, on average.",
    ),
    "asked class": (9, "Share of samples that the digit classifier reads as the digit asked for."),
    "distance to the nearest disc": (
        10,
        "How far a sample is from the nearest possible picture, in pixels' values.",
    ),
    "share of discs": (10, "Share of samples that are one of the possible pictures."),
    "radii of 32": (10, "How many of the 32 possible pictures occur."),
    "modes of 1,000": (12, "How many of the 1,000 modes occur."),
    "KL(samples ‖ data)": (12, "Divergence of the histogram of modes from that of the data."),
    "largest total variation of an attribute": (
        11,
        "For each attribute of a face, how far its shares among samples are from those among faces; the largest.",
    ),
    "… kept": (12, "Share of pictures in which the attribute is named as it was before."),
    "identity": (12, "Share of swaps in which the judge sees the person who was wanted."),
    "content loss": (16, "Distance from the photograph in the layers of content, relative."),
    "style loss": (16, "Distance from the painting in the statistics of style, relative."),
    "style loss of the photographs": (16, "The same for the photographs before anything is done."),
    "own content is nearest": (
        16,
        "Share of results that are nearer to their own photograph than to the others.",
    ),
    "own style is nearest": (
        16,
        "Share of results that are nearer to their own painting than to the others.",
    ),
}


def explained(score: str) -> str | None:
    """The entry of `SCORES` that explains the name of a score on a card; None if none does."""
    if score in SCORES:
        return score
    for entry in SCORES:
        before, dots, after = entry.partition("…")
        if dots and score.startswith(before) and score.endswith(after):
            return entry
    return None
