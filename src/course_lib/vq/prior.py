"""An autoregressive prior over tokens: p(s) = Π_t p(s_t | s_1 … s_{t-1}), by a small causal transformer.

Vaswani et al. 2017; Radford et al. 2019; Esser et al. 2021. N sequences, T tokens (the grid read row by row), V = K
codes, d numbers per position, h heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.evaluation import evaluating
from course_lib.precision import course_defaults


@dataclass(frozen=True)
class TokenPriorConfig:
    """Architecture of `TokenPrior`."""

    codes: int = 128  # K, the tokens that there are
    rows: int = 7  # of the grid
    columns: int = 7
    width: int = 96  # d, numbers per position
    heads: int = 4
    layers: int = 3

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width: expected a multiple of {self.heads} heads, got {self.width}")


class _Block(nn.Module):
    """Causal self-attention and a two-layer perceptron, both with a normalised input and a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """x (N, T, d) -> (N, T, d). With `past`, x is the next position and `past` holds and gets keys and values."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, h, T, d/h)
            for part in self.qkv(self.norm1(x)).chunk(3, 2)
        )
        if past is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            if past:
                k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            past[:] = [k, v]
            mixed = F.scaled_dot_product_attention(q, k, v)  # the new position may see all before it
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class TokenPrior(nn.Module):
    """p(s) over grids of tokens (N, rows, columns), one token after the other, row by row."""

    def __init__(self, cfg: TokenPriorConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or TokenPriorConfig()
        self.token = nn.Embedding(cfg.codes + 1, cfg.width)  # the last one is "start"
        self.position = nn.Parameter(torch.zeros(cfg.rows * cfg.columns, cfg.width))
        self.blocks = nn.ModuleList(_Block(cfg.width, cfg.heads) for _ in range(cfg.layers))
        self.norm = nn.LayerNorm(cfg.width)
        self.head = nn.Linear(cfg.width, cfg.codes)
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (N, T, K) of each token given those before it, of tokens (N, rows, columns)."""
        flat = self._flat(tokens)  # (N, T)
        start = torch.full_like(flat[:, :1], self.cfg.codes)
        x = self.token(torch.cat([start, flat[:, :-1]], 1)) + self.position  # (N, T, d)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def log_prob(self, tokens: Tensor) -> Tensor:
        """log p(s) of tokens (N, rows, columns), in nats, summed over the grid: (N,)."""
        log_p = self(tokens).log_softmax(2)
        return log_p.gather(2, self._flat(tokens).unsqueeze(2)).squeeze(2).sum(1)

    @course_defaults()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """`n` grids of tokens (n, rows, columns), drawn token by token, with keys and values of earlier ones kept."""
        checks.whole("n", n)
        checks.real("temperature", temperature, positive=True)
        checks.generator("generator", generator)
        device = self.position.device
        pasts: list[list[Tensor]] = [[] for _ in self.blocks]
        token = torch.full((n,), self.cfg.codes, device=device)
        drawn = []
        with evaluating(self):
            for t in range(self.cfg.rows * self.cfg.columns):
                x = (self.token(token) + self.position[t]).unsqueeze(1)  # (n, 1, d)
                for block, past in zip(self.blocks, pasts, strict=True):
                    x = block(x, past)
                p = (self.head(self.norm(x[:, 0])) / temperature).softmax(1)  # (n, K)
                token = torch.multinomial(p.float().cpu(), 1, generator=generator).squeeze(1).to(device)
                drawn.append(token)
        return torch.stack(drawn, 1).unflatten(1, (self.cfg.rows, self.cfg.columns))

    def _flat(self, tokens: Tensor) -> Tensor:
        checks.labels("tokens", tokens.flatten(), tokens.numel(), classes=self.cfg.codes)
        return checks.of_shape("tokens", tokens, f"(N, {self.cfg.rows}, {self.cfg.columns})").flatten(1)
