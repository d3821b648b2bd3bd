"""What a fold's winner made of single test videos: which it was surest of, and where in their frames it looked."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import torch
import torch.nn.functional as F
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, Field

from distributed.attention import FrameGrid, attention_weights, effective_tokens, frame_heat, is_uniform
from distributed.clips import ClipsConfig
from distributed.cluster import errors_of_workers
from distributed.cropping import WHOLE, Crops
from distributed.decoding import DecodedVideo, DecodeFailure, Decoder, DecodingConfig
from distributed.errors import UserError
from distributed.labelled_tokens import LabelledTokens
from distributed.search import Record
from distributed.storage import Storage
from distributed.token_reader import TokenReader
from distributed.views import ViewsConfig, crop_corners, short_side
from distributed.winners import load_winner

Pixels = npt.NDArray[np.uint8]
Heat = npt.NDArray[np.float32]

_ALIKE = 0.7  # rows that share more of their weights than this show the same


class InsideConfig(BaseModel):
    """What the report shows of single videos."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    frames: bool = Field(True, description="show frames of videos, which a report of private videos must not")
    mistakes: int = Field(6, ge=0, le=24, description="most confident mistakes that are listed and shown")
    map_videos: int = Field(2000, ge=0, description="videos on the map of embeddings, 0 for no map")


@dataclass(frozen=True)
class Verdict:
    """What a fold's winner said of a test video; `probability` belongs to the predicted class."""

    video_id: str
    fold: int
    actor: str
    true: str
    predicted: str
    probability: float
    probability_of_true: float

    @property
    def is_hit(self) -> bool:
        return self.true == self.predicted


@dataclass(frozen=True)
class LookSettings:
    """How videos are shown: `frames` of them (None: all that are in clips), `height` pixels high, with the attention
    of at most `rows` rows besides the mean of all."""

    clips: ClipsConfig
    decoding: DecodingConfig
    views: ViewsConfig
    frames: int | None = 6
    height: int = 96
    rows: int = 3
    crops: Crops = WHOLE


@dataclass(frozen=True)
class Look:
    """A video as its probe saw it.

    `frames` is uint8[n, H, W, 3]; `heats` float32[rows, n, H, W], what each pixel gets of a row's attention, the
    mean of all rows first; 1 is what the row's brightest pixel gets in any frame of the video. Both are empty
    where `reason` says why. `uniform`: the probe reads the mean of the tokens, so there is no heat.
    """

    verdict: Verdict
    frames: Pixels
    heats: Heat
    row_names: tuple[str, ...] = ()
    uniform: bool = False
    reason: str = ""


def verdicts(results: Storage, fold: int) -> list[Verdict]:
    """What the fold's winner said of every test video, the surest first.

    Raises:
        UserError: the fold is not evaluated.
    """
    name = f"fold-{fold}.parquet"
    if not results.exists(name):
        raise UserError(f"{results.uri}: fold {fold} is not evaluated; run `fersweep evaluate` first")
    rows = parquet.read_table(pa.BufferReader(results.read_bytes(name))).to_pylist()
    found = [
        Verdict(
            row["video_id"],
            fold,
            row["actor"],
            row["true"],
            row["predicted"],
            float(row[f"p_{row['predicted']}"]),
            float(row[f"p_{row['true']}"]),
        )
        for row in rows
    ]
    return sorted(found, key=lambda verdict: (-verdict.probability, verdict.video_id))


def look_at(
    chosen: Sequence[Verdict], paths: dict[str, str], tokens: LabelledTokens, results: Storage, settings: LookSettings
) -> list[Look]:
    """Every video's frames and the attention of its fold's winner on them, read by workers."""
    with errors_of_workers():
        return list(ray.get([_look.remote(each, paths[each.video_id], tokens, results, settings) for each in chosen]))


def look(verdict: Verdict, path: str, tokens: LabelledTokens, results: Storage, settings: LookSettings) -> Look:
    """One video; where it cannot be decoded the look holds the reason."""
    header = tokens.store.header
    resolution = header.encoder["resolution"]
    nothing = Look(verdict, np.zeros((0, 1, 1, 3), np.uint8), np.zeros((0, 0, 1, 1), np.float32))
    with Decoder(settings.decoding) as decoder:
        crop = settings.crops.of(verdict.video_id)
        video = decoder.decode(path, settings.clips, short_side(settings.views, resolution), crop=crop)
    if isinstance(video, DecodeFailure):
        return replace(nothing, reason=video.reason)
    frames = _resized(torch.from_numpy(video.frames).permute(0, 3, 1, 2).float(), settings.height)
    pixels = frames.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    most = settings.frames or len(pixels)
    winner = load_winner(results, verdict.fold, dim=header.shape[-1], num_classes=tokens.num_classes)
    if is_uniform(winner.probe) or header.shape[:4] == (1, 1, 1, 1):
        return thinned(replace(nothing, frames=pixels, uniform=True), most)
    segments, t, h, w, _ = header.shape
    views = TokenReader(tokens.store, [verdict.video_id]).evaluation_views(np.zeros(1, np.int64))[0]
    names, weights = _rows(attention_weights(winner.probe, views, (segments, t, h, w)), winner.record, settings.rows)
    heats = np.stack([_heats(each, video, resolution, settings) for each in weights])
    return thinned(replace(nothing, frames=pixels, heats=heats, row_names=names), most)


def thinned(full: Look, number: int) -> Look:
    """The look with at most `number` of its frames: those where each row looks most, and others far from them."""
    count = len(full.frames)
    if count <= number:
        return full
    if not len(full.heats):
        chosen = np.linspace(0, count - 1, number).round().astype(np.int64)
        return replace(full, frames=full.frames[chosen], heats=full.heats)
    brightest = full.heats.max(axis=(2, 3)).argmax(axis=1).tolist()
    shown = list(dict.fromkeys(brightest))[:number]
    while len(shown) < number:
        distance = np.abs(np.arange(count)[:, None] - np.array(shown)).min(axis=1)
        shown.append(int(distance.argmax()))
    chosen = np.array(sorted(shown))
    return replace(full, frames=full.frames[chosen], heats=full.heats[:, chosen])


def _resized(pictures: torch.Tensor, height: int) -> torch.Tensor:
    """float[n, C, H, W] to a height, or as they are where they are lower."""
    high, wide = pictures.shape[-2:]
    if high <= height:
        return pictures
    return F.interpolate(pictures, size=(height, round(wide * height / high)), mode="area")


def _heats(weights: Heat, video: DecodedVideo, resolution: int, settings: LookSettings) -> Heat:
    """A row's heat on every frame, float32[n, H, W], 1 at its brightest."""
    size = (video.frames.shape[1], video.frames.shape[2])
    grid = FrameGrid(video.clips, crop_corners(*size, settings.views, resolution), resolution, size)
    each = (torch.from_numpy(frame_heat(weights, grid, frame)) for frame in range(len(video.frames)))
    # Made small one by one: at full size the frames of a film are gigabytes.
    heats = torch.stack([_resized(heat[None, None], settings.height)[0, 0] for heat in each]).numpy()
    scaled: Heat = heats / heats.max()
    return scaled


def _rows(weights: Heat, record: Record, most: int) -> tuple[tuple[str, ...], list[Heat]]:
    """The mean of all rows, then those that attend to the fewest tokens and not to the same ones; their names."""
    effective, number = effective_tokens(weights), weights[0, 0].size
    chosen: list[int] = []
    for row in np.argsort(effective, kind="stable").tolist() if len(weights) > 1 else []:
        if len(chosen) < most and all(_shared(weights[row], weights[other]) < _ALIKE for other in chosen):
            chosen.append(row)
    mean = weights.mean(axis=0)
    over = f"mean of {len(weights)} rows" if len(weights) > 1 else _row_name(0, record)
    names = [f"{over}\n{effective_tokens(mean[None])[0]:.0f} of {number} tokens"]
    names += [f"{_row_name(row, record)}\n{effective[row]:.0f} of {number} tokens" for row in chosen]
    return tuple(names), [mean, *(weights[row] for row in chosen)]


def _shared(one: Heat, other: Heat) -> float:
    """The share of two rows' weights that lies on the same tokens, 0 to 1."""
    return float(np.minimum(one, other).sum() / len(one))


def _row_name(row: int, record: Record) -> str:
    """Rows of the attentive family are heads of queries; of another one, queries."""
    heads = record["params"].get("attentive.heads") if record["family"] == "attentive" else None
    if heads is None:
        return f"query {row + 1}"
    head = f"head {row % heads + 1}"
    return head if record["params"]["attentive.queries"] == 1 else f"query {row // heads + 1}, {head}"


@ray.remote(num_cpus=1, max_retries=2)  # type: ignore[untyped-decorator]
def _look(*arguments: Any) -> Look:
    torch.set_num_threads(1)
    return look(*arguments)


def pack_looks(looks: Sequence[Look]) -> bytes:
    """Looks as the bytes of an npz file, which `unpack_looks` reads."""
    arrays: dict[str, Any] = {}
    texts = []
    for number, one in enumerate(looks):
        arrays |= {f"frames-{number}": one.frames, f"heats-{number}": one.heats}
        texts.append(
            {"verdict": asdict(one.verdict), "row_names": one.row_names, "uniform": one.uniform, "reason": one.reason}
        )
    arrays["texts"] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
    sink = io.BytesIO()
    np.savez_compressed(sink, **arrays)
    return sink.getvalue()


def unpack_looks(data: bytes) -> list[Look]:
    """What `pack_looks` packed."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        texts = json.loads(arrays["texts"].tobytes())
        return [
            Look(
                Verdict(**text["verdict"]),
                arrays[f"frames-{number}"],
                arrays[f"heats-{number}"],
                tuple(text["row_names"]),
                text["uniform"],
                text["reason"],
            )
            for number, text in enumerate(texts)
        ]


Kind = Literal["mistakes", "hits"]


def surest(found: Sequence[Verdict], kind: Kind, most: int) -> list[Verdict]:
    """The `most` most confident mistakes or hits, the surest first."""
    chosen = [verdict for verdict in found if verdict.is_hit == (kind == "hits")]
    return sorted(chosen, key=lambda verdict: (-verdict.probability, verdict.fold, verdict.video_id))[:most]
