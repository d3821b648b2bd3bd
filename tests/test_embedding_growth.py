"""What must not grow with the number of videos: time per video, and the memory of the driver and the workers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from distributed.clips import ClipsConfig
from distributed.decoding import DecodingConfig
from distributed.embedding import EmbeddingProgress, embed, part_videos, rows_of_parts
from distributed.embedding_workers import EmbeddingConfig, EmbeddingSettings
from distributed.encoders import EncoderConfig
from distributed.manifest import Manifest
from distributed.storage import Storage
from distributed.store_plan import plan_store
from distributed.token_store import TokensConfig, TokenStore
from distributed.views import ViewsConfig
from tests.conftest import WriteVideo
from tests.small_road import write_encoder

CLASSES = tuple(f"class{number}" for number in range(8))


def many_videos(paths: list[str], count: int) -> Manifest:
    """The same few files under as many names."""
    rows = np.arange(count)
    labels = rows % len(CLASSES)
    actors = pa.array(rows % 5000).cast(pa.string())
    table = {
        "video_id": pa.array([f"Actor_{row % 5000:04d}/01-01-{row:08d}" for row in range(count)]),
        "path": pa.array(paths).take(pa.array(rows % len(paths))),
        "dataset": pa.array(["many"]).take(pa.array(np.zeros(count, np.int64))),
        "label": pa.array(labels),
        "label_name": pa.array(CLASSES).take(pa.array(labels)),
        "actor": actors,
    }
    return Manifest(pa.table(table), CLASSES)


def small_settings(weights: Path, pool: str = "mean") -> EmbeddingSettings:
    tokens = TokensConfig(pool=pool)
    encoder, clips = EncoderConfig(weights=str(weights)), ClipsConfig(segments=1, frames_per_clip=16, frame_step=1)
    return EmbeddingSettings(encoder, clips, ViewsConfig(), tokens, DecodingConfig(), EmbeddingConfig())


@dataclass
class Course:
    """What was seen at some reports of an embedding: the time, the processor's seconds of all processes, the videos
    done; and the most memory, in MB."""

    seconds: list[float]
    processor: list[float]
    done: list[int]
    driver: float = 0.0
    worker: float = 0.0
    spent: dict[int, float] = field(default_factory=dict)

    def report(self, state: EmbeddingProgress) -> None:
        now = time.monotonic()
        if not self.seconds or now - self.seconds[-1] > 0.5 or state.done == state.total:
            self.seconds.append(now)
            self.done.append(state.done)
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            for process in processes:  # one that has ended keeps what it was last seen with
                self.spent[process.pid] = max(self.spent.get(process.pid, 0.0), _of(process, _processor_seconds))
            self.processor.append(sum(self.spent.values()))
            self.driver = max(self.driver, psutil.Process().memory_info().rss / 1e6)
            workers = [process for process in processes if _of(process, lambda p: p.name().startswith("ray::"))]
            self.worker = max([self.worker, *(_of(worker, _private) / 1e6 for worker in workers)])

    def pace(self, clock: list[float], first: float = 0.0, last: float = 1.0) -> float:
        """Seconds of a video on one of the clocks between two shares of the work, without the workers' start."""
        start, stop = (int(np.searchsorted(self.done, share * self.done[-1])) for share in (first, last))
        start = max(start, 1)  # the first report comes before the workers
        return (clock[stop] - clock[start]) / (self.done[stop] - self.done[start])


def _private(process: psutil.Process) -> float:
    """Bytes of a process's own: pages of shared memory belong to all of them."""
    memory = process.memory_info()
    return float(memory.rss - memory.shared)


def _processor_seconds(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def _of(process: psutil.Process, what: Callable[[psutil.Process], float]) -> float:
    """A number of a process, 0 where it has just ended."""
    try:
        return what(process)
    except psutil.NoSuchProcess:
        return 0.0


def course_of(folder: Path, paths: list[str], weights: Path, count: int) -> Course:
    manifest, settings = many_videos(paths, count), small_settings(weights)
    store = TokenStore(Storage.at(folder / str(count)), plan_store(manifest, settings))
    course = Course([], [], [])
    embed(store, manifest, settings, course.report)
    assert store.complete and store.failures() == [] and course.done[-1] == count
    return course


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("shared_ray")
def test_time_and_memory_per_video_stay_flat(tmp_path: Path, write_video: WriteVideo) -> None:
    """100, 1,000 and 10,000 videos, in seconds of the processor, which others on the machine hardly change."""
    paths = [str(write_video(tmp_path / f"{number}.mp4", frames=17, seed=number)) for number in range(8)]
    weights = write_encoder(tmp_path / "tiny.safetensors")
    courses = {count: course_of(tmp_path, paths, weights, count) for count in (100, 1000, 10_000)}
    for count, course in courses.items():
        print(
            f"{count}: {1000 * course.pace(course.seconds):.1f} ms a video, of the processor "
            f"{1000 * course.pace(course.processor):.1f} ms; driver {course.driver:.0f} MB, "
            f"largest worker {course.worker:.0f} MB"
        )
    few, many = courses[1000], courses[10_000]
    # Decoding runs some hundred videos ahead: only in between does a video that ends stand for one that begins.
    steady = few.pace(few.processor, 0.1, 0.5)
    early, late = (many.pace(many.processor, *part) for part in ((0.05, 0.25), (0.7, 0.9)))
    print(
        f"steady, of the processor: {1000 * steady:.1f} ms with 1,000; with 10,000 {1000 * early:.1f} ms early on, "
        f"{1000 * late:.1f} ms late"
    )
    assert late < 1.5 * steady and late < 1.5 * early  # what grew would grow tenfold
    assert many.driver < few.driver + 150 and many.worker < few.worker + 150


PLAN = """
import sys, time
began = time.monotonic()
from pathlib import Path
from tests.test_embedding_growth import plan_a_million
plan_a_million(Path(sys.argv[1]))
took = time.monotonic() - began
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(took, int(peak.split()[1]) * 1024)
"""


def test_planning_a_million_videos_takes_seconds(tmp_path: Path) -> None:
    """By a process of its own, from its imports on: less than 30 s and never more than 2 GB."""
    many_videos(["/data/a.mp4"], 1_000_000).save(Storage.at(tmp_path / "manifest"))
    write_encoder(tmp_path / "tiny.safetensors")
    ran = subprocess.run([sys.executable, "-c", PLAN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    seconds, peak = map(float, ran.stdout.split())
    assert seconds < 30 and peak < 2e9


def plan_a_million(folder: Path) -> None:
    """Half of them embedded: what is there, what is missing, what failed, and the next graph's videos."""
    manifest = Manifest.load(Storage.at(folder / "manifest"))
    settings = small_settings(folder / "tiny.safetensors", "none")
    store = TokenStore(Storage.at(folder / "store"), plan_store(manifest, settings))
    store.create()
    header = store.header
    assert header.num_parts == 250_000 and len(store.missing_parts()) == 250_000
    half = header.num_shards // 2
    assert half > 1
    store.write_part(0, [], [])
    whole = (folder / "store" / "parts" / "part-0000000.arrow").rename(folder / "whole")
    (folder / "store" / "shards").mkdir()
    for shard in range(half):  # what they hold does not matter here
        (folder / "store" / "shards" / f"shard-{shard:06d}.arrow").write_bytes(whole.read_bytes())
    missing = store.missing_parts()
    assert len(missing) == sum(len(header.parts_of(shard)) for shard in range(half, header.num_shards))
    assert len(rows_of_parts(header, missing)) == 1_000_000 - header.parts_of(half)[0] * header.videos_per_part
    assert store.failures() == [] and store.sealable_shards() == []
    videos = part_videos(header, manifest, missing[-4096:])
    assert videos["video_id"][-1].as_py() == manifest.table["video_id"][-1].as_py() and len(videos) == 4 * 4096
