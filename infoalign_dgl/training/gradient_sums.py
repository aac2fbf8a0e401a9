"""Adding the processes' gradients up while the backward pass still runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch.nn import Parameter

BUCKET_BYTES = 8 * 2**20  # large enough that latency does not count, small enough that most are sent early


class GradientSums:
    """Replaces parameters' gradients by their sums over all processes.

    Parameters fill buckets in the reverse of their order in the model, which is about the order in which a
    backward pass comes to them: decoders, whose gradients are most of the bytes, are on their way while the
    encoder's are computed. Buckets are sent in order, so that all processes send alike.

    torch's ``DistributedDataParallel`` overlaps in the same way, but it takes means, and a backward pass that
    memory ended leaves its other processes waiting. Here what is missing is sent as zeros, after which all of
    them can agree to try again in smaller parts.

    Parameters
    ----------
    parameters : iterable of Parameter
        Of the model, in its order; those without gradient are left out.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._buckets: list[list[Parameter]] = []
        self._bucket_of: dict[Tensor, int] = {}
        self._missing: list[int] = []
        self._works: list[distributed.Work] = []
        self._in_last_part = False
        room = 0
        for parameter in reversed([one for one in parameters if one.requires_grad]):
            size = parameter.numel() * parameter.element_size()
            if size > room:
                self._buckets.append([])
                room = BUCKET_BYTES
            room -= size
            self._buckets[-1].append(parameter)
            self._bucket_of[parameter] = len(self._buckets) - 1
            parameter.register_post_accumulate_grad_hook(self._note)

    def begin(self) -> None:
        """Start a step."""
        self._in_last_part = False
        self._missing = [len(bucket) for bucket in self._buckets]
        self._works = []

    def last_part(self) -> None:
        """Say that the next backward pass is the step's last one, which makes gradients complete."""
        self._in_last_part = True

    def finish(self, values: Tensor) -> Tensor:
        """Wait until every gradient is the sum over all processes.

        Parameters
        ----------
        values : Tensor
            Any shape: something else to add up.

        Returns
        -------
        Tensor
            The sum of the values.
        """
        while len(self._works) < len(self._buckets):
            self._send_next()
        work = distributed.all_reduce(values, async_op=True)
        for sent in [*self._works, work]:
            sent.wait()
        return values

    def _note(self, parameter: Tensor) -> None:
        if not self._in_last_part:
            return
        self._missing[self._bucket_of[parameter]] -= 1
        while len(self._works) < len(self._buckets) and not self._missing[len(self._works)]:
            self._send_next()

    def _send_next(self) -> None:
        """Send the first bucket that was not, its gradients becoming views of what is sent."""
        bucket = self._buckets[len(self._works)]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in bucket]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        for parameter, part in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
            parameter.grad = part.view_as(parameter)
        self._works.append(distributed.all_reduce(flat, async_op=True))
