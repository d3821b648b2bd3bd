"""What the readout's programs give in Triton's interpreter, in a process of its own: that is decided when they load.

`TRITON_INTERPRET=1 python -m tests.readout_interpreted` reads a JSON list of cases (arguments of `run`) and prints as
JSON what `run` found of each, and what the other functions did.
"""

import json
import sys
import warnings
from typing import Any

import numpy as np
import torch
import triton.language as tl
from torch import Tensor
from triton.runtime import interpreter

from distributed import readout as readout_module
from distributed import readout_kernel, readout_programs, readout_trust
from distributed.readout import PreparedTokens, token_statistics
from tests.test_readout import distance, plain

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def teach_bfloat16() -> None:
    """The interpreter keeps bfloat16 as whole numbers: it multiplies these, and cuts off where a GPU rounds."""
    builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
    dot, cast = builder.create_dot, builder.create_fp_trunc

    def widened(value: Any) -> Any:
        if value.dtype.scalar != tl.bfloat16:
            return value
        return handle((value.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return dot(self, widened(a), widened(b), *rest)

    def create_fp_trunc(self: Any, value: Any, kind: Any) -> Any:
        if (value.dtype.scalar, kind.scalar) != (tl.float32, tl.bfloat16):
            return cast(self, value, kind)
        rounded = torch.from_numpy(np.ascontiguousarray(value.data)).to(torch.bfloat16)
        return handle(rounded.view(torch.uint16).numpy(), tl.bfloat16)

    builder.create_dot, builder.create_fp_trunc = create_dot, create_fp_trunc


def example(shape: list[int], rows: int, dtype: str, offset: float, sharpness: float) -> tuple[Tensor, Tensor]:
    """Tokens of scales of their own that have much in common, and queries of which the last is zero."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(*shape, generator=generator) * torch.linspace(0.5, 3, shape[1])[:, None]
    tokens += offset * torch.randn(shape[2], generator=generator)
    queries = sharpness * shape[2] ** -0.5 * torch.randn(rows, shape[2], generator=generator)
    queries[rows - 1 :] = 0 if rows > 1 else queries[0]
    return tokens.to(DTYPES[dtype]), queries


def read(tokens: Tensor, queries: Tensor, processors: int = 4) -> Tensor:
    statistics = token_statistics(tokens)
    plan = readout_kernel.plan_for(len(queries), tokens.shape[2], 227 * 1024)
    apply: Any = readout_kernel._KernelReadout.apply
    result: Tensor = apply(tokens, statistics.mean, statistics.rstd, queries, plan, processors)
    return result


def run(
    shape: list[int], rows: int, dtype: str, *, offset: float = 2, sharpness: float = 3, slope: float = 1
) -> dict[str, float]:
    tokens, queries = example(shape, rows, dtype, offset, sharpness)
    mine, truth = queries.clone().requires_grad_(), queries.double().requires_grad_()
    weight = slope * torch.randn(shape[0], rows, shape[2], generator=torch.Generator().manual_seed(1))
    result, expected = read(tokens, mine), plain(tokens, truth)
    grad = torch.autograd.grad((result * weight).sum(), mine)[0]
    known = torch.autograd.grad((expected * weight.double()).sum(), truth)[0]
    return {"readout": distance(result, expected), "gradient": distance(grad, known)}


def repeated() -> dict[str, list[float]]:
    """How far results and gradients of few and of many rows are from themselves: the same again, and in more parts."""
    found: dict[str, list[float]] = {}
    for rows, count in ((5, 1100), (20, 300)):  # into 35 parts and 3
        tokens, queries = example([1, count, 40], rows, "float16", 2, 3)
        grads, results = [], []
        for processors in (1, 1, 1000):
            mine = queries.clone().requires_grad_()
            results.append(read(tokens, mine, processors))
            loss = results[-1].square().sum()
            grads.append(torch.autograd.grad(loss, mine, retain_graph=True)[0])
        results.append(results[-1])
        grads.append(torch.autograd.grad(loss, mine)[0])
        for name, (one, other) in {"again": (0, 1), "backward twice": (2, 3), "in parts": (0, 2)}.items():
            far = max(distance(each[other], each[one]) for each in (results, grads))
            found.setdefault(name, []).append(far)
    return found


def spoilt() -> list[list[bool]]:
    """Which rows of result and gradient are finite when the second query is broken: of few rows, and of many."""
    found = []
    for rows in (4, 20):
        tokens, queries = example([2, 70, 40], rows, "bfloat16", 2, 3)
        queries[1] = torch.nan
        mine = queries.clone().requires_grad_()
        result = read(tokens, mine)
        result.sum().backward()  # type: ignore[no-untyped-call]
        assert mine.grad is not None
        found += [
            values.isfinite().flatten(1).all(dim=1).tolist() for values in (result.detach().transpose(0, 1), mine.grad)
        ]
    return found


RIGHT = readout_programs._weigh


@readout_programs.jit
def wrong(products, factor, back, rstd, there):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Weights that are wrong by a factor of each token's own."""
    values, level = RIGHT(products, factor, back, rstd, there)
    return values * (1 + 0.1 * rstd)[None, :], level


def decisions() -> dict[str, Any]:
    """Readouts as on a GPU: by the programs, by a wrong one, and by one that does not compile."""
    asked: list[str] = []
    readout_trust._fits = lambda tokens: True
    readout_trust._compiles = lambda device: True  # type: ignore[assignment]
    own = readout_kernel._KernelReadout.apply
    readout_kernel._KernelReadout.apply = lambda *given: asked.append("programs") or own(*given)  # type: ignore
    tokens, queries = example([2, 150, 40], 5, "bfloat16", 2, 3)
    prepared, found = PreparedTokens(tokens, token_statistics(tokens)), {}

    def once(name: str) -> None:
        readout_trust._agrees.cache_clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                result = readout_module.readout(prepared, queries)
        far = distance(result, plain(tokens, queries))
        found[name] = {"asked": len(asked), "far": far, "warnings": [str(each.message) for each in caught]}
        asked.clear()

    once("right")
    readout_programs._weigh = wrong
    once("wrong")
    readout_programs._weigh = None
    once("broken")
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.seterr(invalid="ignore")
    warnings.filterwarnings("ignore", "All-NaN slice")
    teach_bfloat16()
    cases = [run(**case) for case in json.load(sys.stdin)]
    print(json.dumps({"cases": cases, "repeated": repeated(), "spoilt": spoilt(), "decisions": decisions()}))
