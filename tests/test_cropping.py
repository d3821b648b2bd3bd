"""What is cut from a frame: squares around boxes that stay inside it, and the middle."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.cropping import WHOLE, Crop, Crops, FaceConfig, NoFaceError


def edges(crop: Crop, height: int, width: int) -> tuple[int, int, int, int]:
    rows, columns = crop.of(height, width)
    return columns.start, rows.start, columns.stop, rows.stop


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((300, 100, 400, 180), 1.0, (300, 90, 400, 190)),  # square around the centre, the longer side
        ((300, 100, 400, 180), 1.5, (275, 65, 425, 215)),
        ((300, 100, 340, 180), 1.0, (280, 100, 360, 180)),
        ((0, 0, 100, 100), 1.5, (0, 0, 150, 150)),  # moved inside, not made smaller
        ((560, 400, 640, 480), 2.0, (480, 320, 640, 480)),
        ((-50, 200, 50, 300), 1.0, (0, 200, 100, 300)),
        ((0, 0, 640, 480), 1.0, (80, 0, 560, 480)),  # as large as the frame allows
        ((300, 100, 300.2, 100.2), 1.0, (300, 100, 301, 101)),
    ],
)
def test_a_box_gives_a_square_inside_the_frame(
    box: tuple[float, float, float, float], margin: float, expected: tuple[int, int, int, int]
) -> None:
    assert edges(Crop(box=box, margin=margin), 480, 640) == expected
    shares = (box[0] / 640, box[1] / 480, box[2] / 640, box[3] / 480)
    assert edges(Crop(box=shares, margin=margin, unit="fractions"), 480, 640) == expected


def test_a_box_outside_of_the_frame_is_no_face() -> None:
    for box in ((640, 0, 700, 50), (0, -60, 50, 0), (-9, 5, 0, 50), (0, 480, 10, 490)):
        with pytest.raises(NoFaceError, match="lies outside of the frame of 640x480 pixels; mend its row"):
            Crop(box=box).of(480, 640)


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, (0, 0, 640, 480)), (0.5, (160, 120, 480, 360)), (0.001, (319, 239, 320, 240))]
)
def test_the_middle_keeps_the_frame_s_shape(share: float, expected: tuple[int, int, int, int]) -> None:
    assert edges(Crop(centre=share), 480, 640) == expected


def test_what_is_cut_out_lies_in_one_piece() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    found = Crop(box=(10, 20, 30, 30)).cut(frame)
    np.testing.assert_array_equal(found, frame[15:35, 10:30])
    assert found.flags.c_contiguous


def test_only_a_table_of_faces_can_lack_a_video() -> None:
    faces = Crops(faces={"a": Crop(box=(0, 0, 1, 1))})
    assert faces.of("a") is not None and faces.missing("a") == ""
    assert faces.of("b") is None and "no row" in faces.missing("b")
    assert WHOLE.of("b") is None and WHOLE.missing("b") == ""
    middle = Crops(every=Crop(centre=0.5))
    assert middle.of("b") == Crop(centre=0.5) and middle.missing("b") == ""
    with pytest.raises(ValueError, match="margin is 0"):
        FaceConfig("a.csv", margin=0)
