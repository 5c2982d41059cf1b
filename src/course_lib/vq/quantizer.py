"""The quantiser: each vector is replaced by the nearest one of a codebook that is learnt along.

van den Oord, Vinyals & Kavukcuoglu 2017: Eq. (1)-(3) and appendix A.1; dead codes are revived as by Dhariwal et al.
2020 (Jukebox). N images, d numbers per vector, H x W vectors per image, K codes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.precision import float64


class Quantized(NamedTuple):
    """What quantising a batch gives."""

    quantized: Tensor  # (N, d, H, W): the nearest codes; gradients pass straight through to the input
    tokens: Tensor  # (N, H, W) int64: which codes
    commitment: Tensor  # (): mean of ‖z_e - sg[e]‖² per vector, pulls the encoder to its codes
    codebook: Tensor  # (): mean of ‖sg[z_e] - e‖² per vector, pulls the codes; 0 if they are a moving average


class VectorQuantizer(nn.Module):
    """A codebook of `codes` (K) vectors of `dimensions` (d) numbers, the first ones drawn by `generator`, on the CPU.

    Codes are moving averages with `decay`, or, if None, learnt by the codebook loss. In training, a code used less than
    `revive_below` times per batch is moved onto a vector of it.
    """

    def __init__(
        self,
        codes: int,
        dimensions: int,
        *,
        decay: float | None = 0.99,
        revive_below: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checks.whole("codes", codes, at_least=2)
        checks.whole("dimensions", dimensions)
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"decay: expected a number between 0 and 1, or None, got {decay}")
        self.decay, self.revive_below = decay, checks.real("revive_below", revive_below)
        self.generator = generator or torch.Generator().manual_seed(0)
        first = torch.randn(codes, dimensions, generator=self.generator, device="cpu")
        first = first.to(torch.empty(0).device)
        if decay is None:
            self.codebook = nn.Parameter(first)
        else:
            self.register_buffer("codebook", first)
            # The averages start as if every code had been used once, by a vector equal to itself.
            self.register_buffer("count", torch.ones(codes))  # (K,) uses per batch
            self.register_buffer("total", first.clone())  # (K, d) sum of the vectors that used it

    def nearest(self, z_e: Tensor) -> Tensor:
        """Tokens (N, H, W): the code with the smallest Euclidean distance to each vector of z_e (N, d, H, W)."""
        checks.of_shape("z_e", z_e, f"(N, {self.codebook.shape[1]}, H, W)")
        rows = z_e.permute(0, 2, 3, 1)  # (N, H, W, d)
        # ‖z‖² is the same for all codes, so it is left out: ‖e‖² - 2 z·e decides
        scores = self.codebook.square().sum(1) - 2 * rows @ self.codebook.T  # (N, H, W, K)
        return scores.argmin(-1)

    def lookup(self, tokens: Tensor) -> Tensor:
        """Vectors (N, d, H, W) of tokens (N, H, W)."""
        checks.tensor("tokens", tokens, "(N, H, W)", dtype="int")
        low, high, last = int(tokens.min()), int(tokens.max()), len(self.codebook) - 1
        if low < 0 or high > last:
            raise ValueError(f"tokens: expected values from 0 to {last}, got {low} to {high}")
        return F.embedding(tokens, self.codebook).permute(0, 3, 1, 2)

    def forward(self, z_e: Tensor) -> Quantized:
        """Quantise z_e (N, d, H, W); in training mode with moving averages, move the codes too."""
        tokens = self.nearest(z_e)
        z_q = F.embedding(tokens, self.codebook).permute(0, 3, 1, 2)  # (N, d, H, W)
        # Both losses before the straight-through step below: after it, z_q - z_e would have no gradient left.
        commitment = (z_e - z_q.detach()).square().sum(1).mean()
        codebook = (z_e.detach() - z_q).square().sum(1).mean() if self.decay is None else z_e.new_zeros(())
        if self.training and self.decay is not None:
            self._move(z_e.detach(), tokens)
        # Straight through: the value is z_q, the gradient is the identity's
        return Quantized(z_e + (z_q - z_e).detach(), tokens, commitment, codebook)

    @torch.no_grad()
    def _move(self, z_e: Tensor, tokens: Tensor) -> None:
        """Each code becomes the moving average of the vectors that chose it; unused codes move to a vector."""
        # under autocast the vectors come in half precision; averages are kept, and summed, in the codebook's
        rows = z_e.permute(0, 2, 3, 1).flatten(0, 2).to(self.total.dtype)  # (M, d)
        flat = tokens.flatten()  # (M,)
        used = torch.bincount(flat, minlength=len(self.codebook)).to(rows.dtype)  # (K,)
        sums = torch.zeros_like(self.codebook).index_add_(0, flat, rows)  # (K, d)
        self.count.lerp_(used, 1 - self.decay)
        self.total.lerp_(sums, 1 - self.decay)
        dead = (self.count < self.revive_below).nonzero().flatten()
        if len(dead):
            chosen = torch.randint(len(rows), (len(dead),), generator=self.generator, device="cpu")
            self.count[dead] = 1.0
            self.total[dead] = rows[chosen.to(rows.device)]
        # A code that nobody uses stays where it is; when total and count have both faded, their ratio would not.
        alive, count = (self.count > 1e-5).unsqueeze(1), self.count.clamp(min=1e-5).unsqueeze(1)
        self.codebook.copy_(torch.where(alive, self.total / count, self.codebook))


def perplexity(tokens: Tensor, codes: int) -> float:
    """exp(entropy) of the use of codes in tokens (…) int64: from 1 (one code) to `codes` (all equally often)."""
    checks.labels("tokens", tokens.flatten(), tokens.numel(), classes=checks.whole("codes", codes))
    share = float64(torch.bincount(tokens.flatten().cpu(), minlength=codes)) / tokens.numel()
    return float(torch.special.entr(share).sum().exp())
