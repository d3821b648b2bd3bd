"""The programs that a GPU runs for a readout, in Triton. `distributed.readout_kernel` launches them and says why.

All take tokens [B, N, D] of a 16-bit type, contiguous, with `mean` and `rstd` float32[B, N], and rows of the same type
as `ready` leaves them; products have float32 sums. Programs share nothing but what they read, and each adds in an order
of its own that is always the same: a result never depends on timing.

Weights and pulls (what a token's weight does to the loss, times that weight) enter products in 16 bits, divided by a
power of two for each row and tile of tokens. So rescaling one tile to another is exact, and float16 has room for them.
Its base-2 logarithm is called the tile's level. `BACKWARD` turns the programs from weights to pulls.
"""

# Triton reads these functions' source: types of its own, no annotations, no short cuts of Python's.
# ruff: noqa: ANN001, ANN201, ANN202, RUF005
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, assignment"
from __future__ import annotations

try:
    import triton
    import triton.language as tl

    # Compiled once for all batches, so that what was tried once is what runs.
    jit = triton.jit(do_not_specialize=["given", "results", "mean", "rstd", "N", "R", "tiles", "count"])
    HAS_TRITON = True
except ImportError:  # importing must work where nothing here can run
    HAS_TRITON = False

    def jit(function):
        return function


@jit
def ready(given, results, common, main, numbers, D: tl.constexpr, BLOCK: tl.constexpr):
    """Rows `given`, float32[P, D], free of their mean and as 16 bits, into `main`.

    `numbers` float32[3, P]: the power of two that `main` is to be multiplied by; what rounding took from the product
    with the tokens' common part, [D]; and the product with `results` float32[P, D].
    """
    row = tl.program_id(0).to(tl.int64)
    count = tl.num_programs(0)
    columns = tl.arange(0, BLOCK)
    there = columns < D
    values = tl.load(given + row * D + columns, mask=there, other=0.0)
    centred = tl.where(there, values - tl.sum(values, axis=0) / D, 0.0)
    factor = tl.exp2(tl.ceil(tl.log2(tl.maximum(tl.max(tl.abs(centred), axis=0), 1e-30))))
    rounded = (centred / factor).to(main.dtype.element_ty)
    tl.store(main + row * D + columns, rounded, mask=there)
    lost = (centred - rounded.to(tl.float32) * factor) * tl.load(common + columns, mask=there, other=0.0)
    tl.store(numbers + row, factor)
    tl.store(numbers + count + row, tl.sum(lost, axis=0))
    met = values * tl.load(results + row * D + columns, mask=there, other=0.0)
    tl.store(numbers + 2 * count + row, tl.sum(met, axis=0))


@jit
def _block(matrix, rows, columns, valid, D: tl.constexpr):
    """Rows and columns of a matrix [..., D], 0 where either is not there."""
    there = valid[:, None] & (columns < D)[None, :]
    return tl.load(matrix + rows[:, None] * D + columns[None, :], mask=there, other=0.0)


@jit
def _leave(matrix, rows, columns, valid, values, D: tl.constexpr):
    there = valid[:, None] & (columns < D)[None, :]
    tl.store(matrix + rows[:, None] * D + columns[None, :], values, mask=there)


@jit
def _numbers_of(numbers, row, count, valid):
    factor = tl.load(numbers + row, mask=valid, other=1.0)
    back = tl.load(numbers + count + row, mask=valid, other=0.0)
    centre = tl.load(numbers + 2 * count + row, mask=valid, other=0.0)
    return factor, back, centre


@jit
def _weigh(products, factor, back, rstd, there):
    """Of products [rows, tile] with tokens: the softmax within the tile times rstd, divided by 2^level; the levels."""
    logits = (products * factor[:, None] + back[:, None]) * (rstd * 1.4426950408889634)[None, :]
    logits = tl.where(there[None, :], logits + tl.log2(rstd)[None, :], float("-inf"))
    level = tl.ceil(tl.max(logits, axis=1))
    return tl.exp2(logits - level[:, None]), level


@jit
def _pull(products, factor, back, centre, rstd, weights, share):
    """Of products [rows, tile] with tokens and `weights` times `share` [rows]: the pulls times rstd, and levels."""
    slopes = (products * factor[:, None] + back[:, None]) * rstd[None, :]
    pulls = weights.to(tl.float32) * share[:, None] * (slopes - centre[:, None])
    level = tl.ceil(tl.log2(tl.maximum(tl.max(tl.abs(pulls), axis=1), 1e-37)))
    return pulls * tl.exp2(-level)[:, None], level


@jit
def whole(
    tokens, mean, rstd, rows, numbers, weights, levels, normaliser, result, normalisers, parts,
    N, R, length, stride, D: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr,
    STAGES: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """All of a readout of few rows for `length` tokens of a video: each tile is read once and used twice from there.

    Program (part, video). Forwards it leaves `weights` [B, R, stride], `levels` [B, tiles, R] and the `normalisers`
    [B, parts, R]; backwards it takes them, the whole's `normaliser` [B, R] and `result` [B, R, D].
    """
    kind = tokens.dtype.element_ty
    part, num_parts, video = tl.program_id(0), tl.num_programs(0), tl.program_id(1).to(tl.int64)
    row, column, inside = tl.arange(0, ROWS), tl.arange(0, CHUNK), tl.arange(0, TILE)
    valid, own = row < R, video * R + row
    first_row = video * R if BACKWARD else 0
    factor, back, centre = _numbers_of(numbers, first_row + row, R * tl.num_programs(1) if BACKWARD else R, valid)
    overall = tl.load(normaliser + own, mask=valid, other=0.0) * 1.4426950408889634 if BACKWARD else back
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total, shift = tl.zeros([ROWS], tl.float32), tl.zeros([ROWS], tl.float32)
    mine, mixed = (), ()
    for left in tl.static_range(0, D, CHUNK):
        query = _block(rows, first_row + row, left + column, valid, D)
        mine, mixed = mine + (query,), mixed + (tl.zeros([ROWS, CHUNK], tl.float32),)
    tiles, begin = tl.cdiv(N, TILE), part * length
    for start in tl.range(begin, tl.minimum(begin + length, N), TILE, num_stages=STAGES):
        token = start + inside
        there, at, read = token < N, video * N + token, ()
        even, odd = tl.zeros([ROWS, TILE], tl.float32), tl.zeros([ROWS, TILE], tl.float32)
        for left in tl.static_range(0, D, CHUNK):
            some = _block(tokens, at, left + column, there, D)
            # Two sums, so that one product need not wait for the one before.
            if left // CHUNK % 2 == 0:
                even = tl.dot(mine[left // CHUNK], tl.trans(some), even)
            else:
                odd = tl.dot(mine[left // CHUNK], tl.trans(some), odd)
            read = read + (some,)
        scale = tl.load(rstd + at, mask=there, other=1.0)
        middle = tl.load(mean + at, mask=there, other=0.0)
        place = weights + own[:, None] * stride + token[None, :]
        notes = levels + (video * tiles + start // TILE) * R + row
        if BACKWARD:
            known = tl.load(place, mask=valid[:, None], other=0.0)
            share = tl.exp2(tl.load(notes, mask=valid, other=0.0) - overall)
            values, level = _pull(even + odd, factor, back, centre, scale, known, share)
        else:
            values, level = _weigh(even + odd, factor, back, scale, there)
            tl.store(place, values.to(kind), mask=valid[:, None])
            tl.store(notes, level, mask=valid)
        now = tl.maximum(top, level)
        shrink, share = tl.exp2(top - now), tl.exp2(level - now)
        # Exact: the share is a power of two.
        narrow, top = (values.to(kind).to(tl.float32) * share[:, None]).to(kind), now
        wide = narrow.to(tl.float32)
        total = total * shrink + tl.sum(wide / scale[None, :], axis=1)
        shift = shift * shrink + tl.sum(wide * middle[None, :], axis=1)
        before, mixed = mixed, ()
        for i in tl.static_range(len(read)):
            mixed = mixed + (tl.dot(narrow, read[i], before[i] * shrink[:, None]),)
    out = (video * num_parts + part) * R + row
    if not BACKWARD:
        tl.store(normalisers + out, (top + tl.log2(total)) * 0.6931471805599453, mask=valid)
    for i in tl.static_range(len(mixed)):
        feature = i * CHUNK + column
        values = mixed[i] - shift[:, None]
        if BACKWARD:
            # Pulls add up to nothing but for their rounding, which must not count.
            values = (values - total[:, None] * _block(result, own, feature, valid, D)) * tl.exp2(top)[:, None]
        else:
            values = values / total[:, None]
        _leave(parts, out, feature, valid, values, D)


@jit
def weights_of(
    tokens, mean, rstd, rows, numbers, known, known_levels, normaliser, weights, levels, totals, shifts,
    N, R, stride, tiles,
    D: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, STAGES: tl.constexpr,
    BACKWARD: tl.constexpr,
):  # fmt: skip
    """The first half of a readout of many rows: `weights` [B, R, stride], and of each tile what `mix` needs.

    Program (block of rows, tile, video). `levels`, `totals` (sums without rstd), `shifts` (sums times the mean):
    float32[B, tiles, R]. Backwards they are those of the pulls, made of the weights and levels that are `known`.
    """
    tile, video = tl.program_id(1), tl.program_id(2).to(tl.int64)
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, CHUNK)
    token = tile * TILE + tl.arange(0, TILE)
    there, valid, own, at = token < N, row < R, video * R + row, video * N + token
    first_row = video * R if BACKWARD else 0
    products = tl.zeros([ROWS, TILE], tl.float32)
    for left in tl.range(0, D, CHUNK, num_stages=STAGES):
        mine = _block(rows, first_row + row, left + column, valid, D)
        some = _block(tokens, at, left + column, there, D)
        products = tl.dot(mine, tl.trans(some), products)
    factor, back, centre = _numbers_of(numbers, first_row + row, R * tl.num_programs(2) if BACKWARD else R, valid)
    scale = tl.load(rstd + at, mask=there, other=1.0)
    place, notes = own[:, None] * stride + token[None, :], (video * tiles + tile) * R + row
    if BACKWARD:
        share = tl.load(known_levels + notes, mask=valid, other=0.0)
        share -= tl.load(normaliser + own, mask=valid, other=0.0) * 1.4426950408889634
        before = tl.load(known + place, mask=valid[:, None], other=0.0)
        values, level = _pull(products, factor, back, centre, scale, before, tl.exp2(share))
    else:
        values, level = _weigh(products, factor, back, scale, there)
    narrow = values.to(tokens.dtype.element_ty)
    wide = narrow.to(tl.float32)
    tl.store(weights + place, narrow, mask=valid[:, None])
    tl.store(levels + notes, level, mask=valid)
    tl.store(totals + notes, tl.sum(wide / scale[None, :], axis=1), mask=valid)
    middle = tl.load(mean + at, mask=there, other=0.0)
    tl.store(shifts + notes, tl.sum(wide * middle[None, :], axis=1), mask=valid)


@jit
def mix(
    tokens, weights, shares, level, total, shift, result, parts,
    N, R, length, stride, tiles,
    D: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, STEP: tl.constexpr,
    STAGES: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """The second half: `weights` times tokens, over `length` tokens of a video, some features and a block of rows.

    Program (features and rows, part, video). `shares` float32[B, tiles, R] bring tiles to the part's own `level`;
    this and the part's `total` and `shift` are float32[B, parts, R].
    """
    part, num_parts, video = tl.program_id(1), tl.num_programs(1), tl.program_id(2).to(tl.int64)
    slices = tl.cdiv(D, CHUNK)
    feature = tl.program_id(0) % slices * CHUNK + tl.arange(0, CHUNK)
    row = tl.program_id(0) // slices * ROWS + tl.arange(0, ROWS)
    valid, own = row < R, video * R + row
    out = (video * num_parts + part) * R + row
    all_of_it = tl.load(total + out, mask=valid, other=1.0)
    mixed = tl.zeros([ROWS, CHUNK], tl.float32) - tl.load(shift + out, mask=valid, other=0.0)[:, None]
    if BACKWARD:
        mixed -= all_of_it[:, None] * _block(result, own, feature, valid, D)
    begin = part * length
    for start in tl.range(begin, tl.minimum(begin + length, N), STEP, num_stages=STAGES):
        token = start + tl.arange(0, STEP)
        share = tl.load(shares + (video * tiles + start // TILE) * R + row, mask=valid, other=0.0)
        kept = tl.load(weights + own[:, None] * stride + token[None, :], mask=valid[:, None], other=0.0)
        some = _block(tokens, video * N + token, feature, token < N, D)
        mixed = tl.dot((kept.to(tl.float32) * share[:, None]).to(kept.dtype), some, mixed)
    if BACKWARD:
        mixed = mixed * tl.exp2(tl.load(level + out, mask=valid, other=0.0))[:, None]
    else:
        mixed = mixed / all_of_it[:, None]
    _leave(parts, out, feature, valid, mixed, D)


@jit
def join(parts, normalisers, result, normaliser, R, count, D: tl.constexpr, CHUNK: tl.constexpr, SOME: tl.constexpr):
    """`count` parts, readouts of their own float32[B, count, R, D], into the whole's `result` and `normaliser`.

    Program (row, video, features), `SOME` parts at a time.
    """
    row, video = tl.program_id(0), tl.program_id(1).to(tl.int64)
    feature, own = tl.program_id(2) * CHUNK + tl.arange(0, CHUNK), video * R + row
    top = tl.full([CHUNK], float("-inf"), tl.float32)
    total, mixed = tl.zeros([CHUNK], tl.float32), tl.zeros([CHUNK], tl.float32)
    for first in tl.range(0, count, SOME):
        part = first + tl.arange(0, SOME)
        there, at = part < count, (video * count + part) * R + row
        logs = tl.load(normalisers + at, mask=there, other=float("-inf"))
        now = tl.maximum(top, tl.max(logs, axis=0))
        share, shrink = tl.exp(logs[:, None] - now[None, :]), tl.exp(top - now)
        total = total * shrink + tl.sum(share, axis=0)
        mixed = mixed * shrink + tl.sum(share * _block(parts, at, feature, there, D), axis=0)
        top = now
    tl.store(result + own * D + feature, mixed / total, mask=feature < D)
    tl.store(normaliser + own + 0 * feature, top + tl.log(total), mask=feature == 0)
