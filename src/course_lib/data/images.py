"""Where bytes become images and back: float32 (N, C, H, W) with values in [-1, 1], -1 for black and +1 for white."""

import io

import numpy as np
import torch


def from_uint8(pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Bytes as files store them, channels last -> images as the course uses them.

    `pixels` are uint8 (N, H, W) or (N, H, W, C) with C = 1 or 3. Returns a copy, float32 (N, C, H, W) in [-1, 1]; 0
    maps to exactly -1 and 255 to exactly +1. TypeError for another dtype, ValueError for another shape or an empty one.
    """
    if not isinstance(pixels, (np.ndarray, torch.Tensor)):
        raise TypeError(f"pixels must be a uint8 array or tensor; received {type(pixels).__name__}")
    if pixels.dtype not in (np.dtype(np.uint8), torch.uint8):
        advice = "floats in [-1, 1] need no conversion"
        raise TypeError(f"pixels must be uint8 (0..255); received {pixels.dtype}; {advice}")
    shape = tuple(pixels.shape)
    if len(shape) == 3 and shape[2] in (1, 3):
        advice = "one colour picture as it seems: pass pixels[None]"
        raise ValueError(f"pixels must be (N, H, W) or (N, H, W, C); received shape {shape}, {advice}")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape:
        raise ValueError(f"pixels must be non-empty (N, H, W[, C]) with C = 1 or 3; received shape {shape}")
    # A copy: arrays made from file bytes are read-only, and tensors cannot be.
    x = torch.from_numpy(pixels.copy()) if isinstance(pixels, np.ndarray) else pixels
    x = x.unsqueeze(1) if x.dim() == 3 else x.movedim(3, 1)  # (N, C, H, W)
    # Dividing by 127.5 is exact at 255, whereas multiplying by a rounded 2/255 could exceed 1.
    return x.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(127.5).sub_(1.0)


def to_uint8(x: torch.Tensor) -> np.ndarray:
    """Images (N, C, H, W), C = 1 or 3, on any device -> bytes, channels last; the inverse of `from_uint8`.

    Returns a uint8 array (N, H, W) if C = 1, else (N, H, W, 3), rounded, values outside [-1, 1] clipped. TypeError for
    anything but floating-point tensors, ValueError for another shape, an empty one, or NaN.
    """
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        received = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise TypeError(f"x must be a floating-point tensor with values in [-1, 1]; received {received}")
    shape = tuple(x.shape)
    if len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
        raise ValueError(f"x must be non-empty, (N, C, H, W) with C = 1 or 3; received shape {shape}")
    if torch.isnan(x).any():
        raise ValueError("x must be numbers in [-1, 1]; received NaN (did the training diverge?)")
    scaled = (x.detach().to("cpu", torch.float32) + 1.0).mul_(127.5).clamp_(0.0, 255.0)  # (N, C, H, W)
    pixels = scaled.round_().to(torch.uint8).movedim(1, 3)  # (N, H, W, C)
    return (pixels.squeeze(3) if shape[1] == 1 else pixels).numpy()


def decoded(content: bytes) -> np.ndarray:
    """The picture in the bytes of an image file: uint8 (H, W, 3), red first."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))
