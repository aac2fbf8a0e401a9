"""Dropout whose random numbers are cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 256  # a mask entry is one random byte against a threshold


def random_bytes(count: int) -> Tensor:
    """Draw bytes from torch's CPU generator, shape (count,), uint8, uniform on 0 to 255."""
    words = torch.empty((count + 7) // 8, dtype=torch.int64)
    # Without its bounds `random_` never sets an int64's sign bit, and every eighth byte would be at most 127.
    words.random_(-(2**63), None)
    return words.view(torch.uint8)[:count]


class Dropout(nn.Module):
    """Zero entries with probability p and scale the others by 1 / (1 - p), in training only.

    On a CPU, torch draws one 32-bit number per entry in one thread, which is a sixth of a training step. Here
    one byte per entry does where p is a multiple of 1/256 (the published 0.5 is); otherwise, and elsewhere,
    torch's own is used.

    Parameters
    ----------
    p : float
        Probability of zeroing an entry.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of ``x``, any shape."""
        threshold = self.p * _LEVELS
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu" or threshold != int(threshold):
            return nn.functional.dropout(x, self.p, training=True)
        keep = random_bytes(x.numel()).ge_(int(threshold)).view(x.shape)
        return x * keep.to(x.dtype).mul_(1.0 / (1.0 - self.p))

    def extra_repr(self) -> str:
        """Show p in the module's repr."""
        return f"p={self.p}"
