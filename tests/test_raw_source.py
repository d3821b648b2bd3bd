"""Raw tokens come as they lie in their source, view by view."""

import numpy as np
import torch

from distributed.feeding import DeviceTokens
from distributed.raw_source import RawSource
from distributed.token_source import TensorTokens

ROWS = np.array([4, 1, 7])


def test_batches_are_the_sources_own() -> None:
    values = torch.randn(9, 3, 5, 4).to(torch.float16)
    source = TensorTokens(values, seed=2)
    raw = RawSource(DeviceTokens(source, ROWS, torch.device("cpu")))
    for epoch in (1, 2):
        first, second = raw.gather([ROWS[:2], ROWS[2:]], epoch)
        assert torch.equal(torch.cat([first, second]), source.gather(ROWS, epoch))
    ((views, count),) = raw.evaluation_views([ROWS])
    assert count == 3 and views.shape == (9, 5, 4) and views.dtype == torch.float16
    assert torch.equal(views.view(3, 3, 5, 4), values[[4, 1, 7]])
