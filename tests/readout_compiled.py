"""Compiles the readout's programs for GPUs that need not be there, and says what each takes of one.

`python -m tests.readout_compiled` prints JSON: per target and program its registers a thread, bytes of stack (what did
not fit in registers), bytes of shared memory, and whether it multiplies in matrix units.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from distributed import readout_programs as programs
from distributed.readout_kernel import plan_for

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
NUMBERS = ("N", "R", "length", "stride", "tiles", "count")
NARROW = ("tokens", "weights", "main", "known", "rows")
SHARED = {80: 163 * 1024, 90: 227 * 1024}
DIM = 1280


def compiled(program: Any, target: int, constants: dict[str, int], dtype: str = "bf16") -> dict[str, Any]:
    kinds = dict.fromkeys(NUMBERS, "i32") | dict.fromkeys(NARROW, f"*{dtype}")
    kinds |= dict.fromkeys(constants, "constexpr")
    signature = {name: kinds.get(name, "*fp32") for name in program.arg_names}
    aligned = [(i,) for i, each in enumerate(program.params) if not (each.do_not_specialize or each.name in constants)]
    source = ASTSource(program, signature, constants, {place: [["tt.divisibility", 16]] for place in aligned})
    warps = 4 if program in (programs.ready, programs.join) else 8
    kernel = triton.compile(source, target=GPUTarget("cuda", target, 32), options={"num_warps": warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [str(CUOBJDUMP), "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.findall(rf"{name}:(\d+)", said)[-1]) for name in ("REG", "STACK"))
    units = any(unit in kernel.asm["ptx"] for unit in ("wgmma.mma_async", "mma.sync"))
    return {"registers": registers, "stack": stack, "shared": kernel.metadata.shared, "matrix units": units}


def all_of(target: int) -> dict[str, dict[str, Any]]:
    few, many = (plan_for(rows, DIM, SHARED[target]) for rows in (16, 256))
    found = {
        "ready": compiled(programs.ready, target, {"D": DIM, "BLOCK": 2048}),
        "join": compiled(programs.join, target, {"D": DIM, "CHUNK": 128, "SOME": 32}),
    }
    for backward in (False, True):
        shape = {"D": DIM, "BACKWARD": backward}
        of_few, of_many = (
            shape | {"ROWS": plan.rows, "TILE": plan.tile, "STAGES": plan.stages} for plan in (few, many)
        )
        way = "backward" if backward else "forward"
        found[f"whole {way}"] = compiled(programs.whole, target, of_few | {"CHUNK": few.chunk})
        found[f"weights_of {way}"] = compiled(programs.weights_of, target, of_many | {"CHUNK": many.chunk})
        mix = of_many | {"CHUNK": many.slice, "STEP": many.step}
        found[f"mix {way}"] = compiled(programs.mix, target, mix)
    return found


if __name__ == "__main__":
    print(json.dumps({f"sm_{target}": all_of(target) for target in SHARED}))
