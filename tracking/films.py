"""A video's frames beside the same frames under its probe's attention, as an MP4 file."""

import io
from fractions import Fraction

import av
import numpy as np

from tracking.contact_sheets import Pixels, ShownVideo, overlay, strip

_FRAMES_PER_SECOND = 10  # slower than the video: there is much to see


def attention_film(video: ShownVideo) -> bytes:
    """H.264 in MP4: the frames and, to the right, one copy under each row of attention. Raises ValueError
    where there is none."""
    if not len(video.heats):
        raise ValueError(f"{video.video_id} has no attention to film")
    copies = [video.frames, *(overlay(video.frames, heat) for heat in video.heats)]
    pictures = [_even(strip(np.stack(moment))) for moment in zip(*copies, strict=True)]
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(_FRAMES_PER_SECOND), options={"crf": "20"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return sink.getvalue()


def _even(picture: Pixels) -> Pixels:
    """H.264 needs even sides: an odd one gets a white line."""
    high, wide = picture.shape[:2]
    return np.pad(picture, ((0, high % 2), (0, wide % 2), (0, 0)), constant_values=255)
