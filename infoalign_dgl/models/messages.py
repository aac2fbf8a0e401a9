"""What atoms hear from their neighbours in a GIN layer.

On a CPU, and on a GPU where the package was built with CUDA, one native pass forward and one backward do it,
with nothing of the size of the arcs in memory; elsewhere torch does, through :mod:`.segments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from infoalign_dgl._extension import load_native
from infoalign_dgl.models.segments import Arcs, pool, sum_messages

if TYPE_CHECKING:
    from infoalign_dgl.molecules import MoleculeBatch

NUMBERS = {torch.float32: 0, torch.bfloat16: 1, torch.float64: 2}  # as the native kernels number them


def activation_dtype(device: str) -> torch.dtype:
    """Type of what the next linear layer reads: autocast's where that is on, else float32."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


def address(tensor: Tensor | None) -> int:
    """Address of a contiguous tensor for a native kernel, 0 for None."""
    if tensor is None:
        return 0
    assert tensor.is_contiguous()
    return tensor.data_ptr()


class _Hear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, atoms: Tensor, bonds: Tensor, eps: Tensor, batch: MoleculeBatch, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        kernel = _kernel(atoms, bonds, eps, batch, dtype)
        heard = torch.empty(atoms.shape, dtype=dtype, device=atoms.device)
        pooled = atoms.new_empty(batch.num_molecules, atoms.shape[1])
        kernel.forward(heard, pooled)
        ctx.save_for_backward(atoms, bonds, eps)
        ctx.batch, ctx.dtype = batch, dtype
        return heard, pooled, atoms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        atoms, bonds, eps = ctx.saved_tensors
        heard, pooled, residual = gradients
        if heard is None:
            heard = torch.zeros(atoms.shape, dtype=ctx.dtype, device=atoms.device)
        given = [None if one is None else one.contiguous() for one in (heard, residual, pooled)]
        of_atoms, of_bonds = torch.empty_like(atoms), torch.empty_like(bonds)
        kernel = _kernel(atoms, bonds, eps, ctx.batch, ctx.dtype)
        of_eps = kernel.backward(given, of_atoms, of_bonds)
        return of_atoms, of_bonds, of_eps, None, None


class _CpuKernel:
    """One layer's arguments as the native functions for a CPU take them."""

    def __init__(
        self, atoms: Tensor, bonds: Tensor, eps: Tensor, batch: MoleculeBatch, dtype: torch.dtype
    ) -> None:
        self._native: Any = load_native()
        self._eps = eps
        self._layer = (
            _arcs(self._native, batch, bonds),
            address(atoms),
            address(bonds),
            1.0 + float(eps),
            atoms.shape[1],
            NUMBERS[dtype],
        )

    def forward(self, heard: Tensor, pooled: Tensor) -> None:
        self._native.hear(*self._layer, address(heard), address(pooled), torch.get_num_threads())

    def backward(self, given: list[Tensor | None], of_atoms: Tensor, of_bonds: Tensor) -> Tensor:
        addresses = (*map(address, given), address(of_atoms), address(of_bonds))
        of_weight = self._native.hear_backward(*self._layer, *addresses, torch.get_num_threads())
        return torch.full_like(self._eps, of_weight)


class _CudaKernel:
    """One layer's arguments as the native functions for a GPU take them; nothing here waits for the GPU."""

    def __init__(
        self, atoms: Tensor, bonds: Tensor, eps: Tensor, batch: MoleculeBatch, dtype: torch.dtype
    ) -> None:
        self._native: Any = load_native()
        self._self_weight = (1 + eps).float()
        self._layer = (
            _arcs(self._native, batch, bonds),
            address(atoms),
            address(bonds),
            address(self._self_weight),
            atoms.shape[1],
            NUMBERS[dtype],
        )
        self._place = (atoms.device.index or 0, torch.cuda.current_stream(atoms.device).cuda_stream)

    def forward(self, heard: Tensor, pooled: Tensor) -> None:
        self._native.hear_cuda(*self._layer, address(heard), address(pooled), *self._place)

    def backward(self, given: list[Tensor | None], of_atoms: Tensor, of_bonds: Tensor) -> Tensor:
        of_weight = torch.empty_like(self._self_weight)
        scratch = of_atoms.new_empty(self._native.hear_scratch(self._layer[0], of_atoms.shape[1]))
        addresses = map(address, (*given, of_atoms, of_bonds, of_weight, scratch))
        self._native.hear_backward_cuda(*self._layer, *addresses, *self._place)
        return of_weight


def _kernel(
    atoms: Tensor, bonds: Tensor, eps: Tensor, batch: MoleculeBatch, dtype: torch.dtype
) -> _CpuKernel | _CudaKernel:
    # The native functions see addresses alone, and would read and write beyond tensors that do not fit.
    assert atoms.shape == (batch.num_atoms, bonds.shape[1])
    assert len(bonds) == len(batch.bond_kinds)
    assert (bonds.dtype, bonds.device) == (atoms.dtype, atoms.device)
    assert eps.numel() == 1
    return (_CudaKernel if atoms.is_cuda else _CpuKernel)(atoms, bonds, eps, batch, dtype)


def _arcs(native: Any, batch: MoleculeBatch, bonds: Tensor) -> Any:
    return native.MoleculeArcs(
        address(batch.atom_offsets),
        address(batch.arc_offsets),
        address(batch.neighbor),
        address(batch.arc_kind),
        batch.num_molecules,
        len(bonds),
    )


def hear(atoms: Tensor, bonds: Tensor, eps: Tensor, batch: MoleculeBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Sum what each atom hears: (1 + eps) h_i + sum over its neighbours j of relu(h_j + b_ij).

    Parameters
    ----------
    atoms : Tensor
        Shape (N, D), float32 or float64, h.
    bonds : Tensor
        Shape (V, D), of the same type, one row per kind of bond.
    eps : Tensor
        Shape (1,).
    batch : MoleculeBatch
        The N atoms and their arcs.

    Returns
    -------
    heard : Tensor
        Shape (N, D), of autocast's type where that is on.
    pooled : Tensor
        Shape (molecules, D): h summed over each molecule's atoms.
    atoms : Tensor
        Shape (N, D), h again. Whoever reads h from here lets the backward pass add all its gradients at once.

    References
    ----------
    Xu et al. 2019, How Powerful are Graph Neural Networks?; Hu et al. 2020, Open Graph Benchmark (bonds).
    """
    double = atoms.dtype == torch.float64
    dtype = torch.float64 if double else activation_dtype(atoms.device.type)
    if _has_kernel(atoms, dtype):
        heard, pooled, passed = _Hear.apply(atoms.contiguous(), bonds.contiguous(), eps, batch, dtype)
        return heard, pooled, passed
    arcs = Arcs.of(batch)
    heard = sum_messages(atoms, bonds, arcs) + (1 + eps) * atoms
    return heard.to(dtype), pool(atoms, arcs.by_molecule), atoms


def _has_kernel(atoms: Tensor, dtype: torch.dtype) -> bool:
    native = load_native()
    if native is None or dtype not in NUMBERS:
        return False
    if atoms.is_cuda:
        return atoms.dtype == torch.float32 and hasattr(native, "hear_cuda")
    return atoms.device.type == "cpu" and atoms.dtype in (torch.float32, torch.float64)
