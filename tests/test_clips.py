"""The clip plans equal the published rules, restated here index by index, for every length."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.clips import ClipsConfig, clip_indices, pass_seed, training_indices, window_indices


def linspace(start: float, stop: float, count: int) -> list[float]:
    """Evenly spaced points, computed without numpy's own function."""
    if count == 1:
        return [start]
    return [start + (stop - start) * i / (count - 1) for i in range(count)]


def expected_segments(n: int, segments: int, frames: int, step: int) -> list[list[int]]:
    """The rule of the evaluation plan, one index at a time."""
    window = frames * step
    part = n // segments
    clips = []
    for segment in range(segments):
        if part > window:
            points = [min(max(p, 0), window - 1) for p in linspace(0, window, frames)]
            clips.append([int(p) + segment * part for p in points])
            continue
        last = min(window, n) - 1
        points = linspace(0, last, last // step) + [last] * (frames - last // step)
        shift = segment * ((n - window) // (segments - 1)) if n > window and segments > 1 else 0
        clips.append([int(max(min(p, last - 1), 0)) + shift for p in points])
    return clips


def expected_windows(n: int, frames: int, step: int) -> list[list[int]]:
    window = frames * step
    if n <= window:
        points = linspace(0, n, n // step) + [n] * (frames - n // step)
        return [[int(min(max(p, 0), n - 1)) for p in points]]
    return [
        [int(min(p, start + window - 1)) for p in linspace(start, start + window, frames)]
        for start in range(n - window)
    ]


@pytest.mark.parametrize(("segments", "frames", "step"), [(8, 16, 4), (2, 16, 2), (1, 16, 4), (3, 8, 1)])
def test_segments_equal_the_published_rule_for_lengths_1_to_700(segments: int, frames: int, step: int) -> None:
    for n in range(1, 701):
        plan = clip_indices(n, segments=segments, frames_per_clip=frames, frame_step=step)
        assert plan.dtype == np.int64 and plan.shape == (segments, frames)
        np.testing.assert_array_equal(plan, expected_segments(n, segments, frames, step), err_msg=f"n={n}")
        assert plan.min() >= 0 and plan.max() < n


def test_segments_of_known_lengths() -> None:
    """Golden values: 110 frames is a RAVDESS clip, 20 frames are shorter than a window."""
    plan = clip_indices(110, segments=8, frames_per_clip=16, frame_step=4)
    assert plan[0].tolist() == [0, 4, 9, 13, 18, 22, 27, 31, 36, 40, 45, 49, 54, 58, 62, 62]
    assert (plan[7] - plan[0] == 7 * 6).all()  # (110 - 64) // 7 = 6 frames from segment to segment
    short = clip_indices(20, segments=2, frames_per_clip=16, frame_step=4)
    assert short[0].tolist() == [0, 6, 12, 18, *[18] * 12]
    assert (short[1] == short[0]).all()


def test_windows_equal_the_published_rule_for_lengths_1_to_300() -> None:
    for n in range(1, 301):
        plan = window_indices(n, frames_per_clip=16, frame_step=4, stride=1)
        np.testing.assert_array_equal(plan, expected_windows(n, 16, 4), err_msg=f"n={n}")
        assert len(plan) == (n - 64 if n > 64 else 1)


def test_windows_with_a_stride_are_every_nth() -> None:
    every = window_indices(200, frames_per_clip=16, frame_step=4, stride=1)
    fifth = window_indices(200, frames_per_clip=16, frame_step=4, stride=5)
    np.testing.assert_array_equal(fifth, every[::5])


def test_training_starts_are_random_within_the_segment_and_follow_the_seed() -> None:
    def plan(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        plan: list[list[int]] = clip_indices(1000, segments=4, frames_per_clip=16, frame_step=4, rng=rng).tolist()
        return plan

    assert plan(1) == plan(1) != plan(2)
    for segment, clip in enumerate(plan(3)):
        assert segment * 250 <= clip[0] and clip[-1] < (segment + 1) * 250


def test_every_pass_has_a_plan_of_its_own_where_the_reference_s_is_random() -> None:
    clips = ClipsConfig(segments=4, frames_per_clip=16, frame_step=4)
    seeds = [pass_seed(0, "a/1", number, "clips") for number in (1, 2)]
    long = training_indices(1000, clips, seeds)
    assert long.shape == (2, 4, 16) and long.dtype == np.int64
    assert not np.array_equal(long[0], long[1])
    np.testing.assert_array_equal(training_indices(1000, clips, seeds[1:])[0], long[1])
    starts = training_indices(1000, clips, range(400))[:, :, 0] - 250 * np.arange(4)
    assert starts.min() == 0 and starts.max() == 250 - 64 - 1
    clean = clip_indices(110, segments=4, frames_per_clip=16, frame_step=4)
    np.testing.assert_array_equal(training_indices(110, clips, seeds), [clean, clean])
    assert training_indices(110, clips, []).shape == (0, 4, 16)


def test_the_seed_of_a_pass_is_known_and_changes_with_everything_that_names_it() -> None:
    """Golden: another seed would be another store under the same header."""
    assert pass_seed(0, "Actor_01/a", 1, "pixels") == 133367000253652143832829574652502957801
    given = [(0, "a", 1, "pixels"), (1, "a", 1, "pixels"), (0, "b", 1, "pixels"), (0, "a", 2, "pixels")]
    found = [pass_seed(*one) for one in [*given, (0, "a", 1, "clips")]]
    assert len(set(found)) == 5 and all(0 <= seed < 2**128 for seed in found)


def test_no_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        clip_indices(0, segments=1, frames_per_clip=16, frame_step=4)
    with pytest.raises(ValueError, match="stride"):
        window_indices(10, frames_per_clip=16, frame_step=4, stride=0)


def test_a_plan_of_nothing_is_refused_by_key() -> None:
    with pytest.raises(ValueError, match=r"clips\.segments is 0"):
        ClipsConfig(segments=0)
