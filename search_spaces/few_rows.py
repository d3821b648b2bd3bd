"""A linear layer with a large weight and a batch of a few rows, as a probe's head of the published size has them.

Such a layer is bound by its weight, which a step reads twice and whose gradient it writes once. Three products with all
of it are spread badly over a processor's threads and caches; cut along the outputs into many small ones they take about
half the time.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Measured on layers of 1,280 to 5,120 features: fewer parts leave threads idle, smaller weights gain nothing.
PARTS = 32
LARGE = 2**21  # numbers in a weight
FEW = 32  # rows


class Linear(nn.Linear):
    """`nn.Linear`, that trains on few rows of a CPU's memory at the speed of reading its weight."""

    def forward(self, x: Tensor) -> Tensor:
        if not self._is_cut(x):
            return super().forward(x)
        output: Tensor = _FewRows.apply(x.reshape(-1, self.in_features), self.weight)  # type: ignore[no-untyped-call]
        return (output + self.bias).view(*x.shape[:-1], self.out_features)

    def _is_cut(self, x: Tensor) -> bool:
        return (
            torch.is_grad_enabled()
            and self.weight.requires_grad
            and self.weight.numel() >= LARGE
            and self.out_features % PARTS == 0
            and x.numel() <= FEW * self.in_features
            and x.device.type == "cpu"
        )


class _FewRows(torch.autograd.Function):
    """Rows float[M, I] times a weight float[O, I] -> float[M, O]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        products = torch.bmm(rows.expand(PARTS, -1, -1), _parts(weight).transpose(1, 2))
        return products.transpose(0, 1).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, Tensor]:
        rows, weight = ctx.saved_tensors
        parts = slopes.view(len(slopes), PARTS, -1).transpose(0, 1)
        to_rows = torch.bmm(parts, _parts(weight)).sum(dim=0) if ctx.needs_input_grad[0] else None
        return to_rows, torch.bmm(parts.transpose(1, 2), rows.expand(PARTS, -1, -1)).flatten(0, 1)


def _parts(weight: Tensor) -> Tensor:
    return weight.view(PARTS, -1, weight.shape[1])
