"""Schedules against their published timing, and the optimiser against a loop written out."""

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from distributed.schedules import ProbeOptimizer, learning_rate, weight_decay
from search_spaces.optimisation import OptimSettings


def test_learning_rate_is_two_ticks_ahead_on_its_cosine() -> None:
    # A scheduler that ticks when it is made and before every step shows step i the tick i + 2.
    total, ticks = 40, 1
    for step in range(total):
        ticks += 1
        expected = 0.3 * (1 + math.cos(math.pi * ticks / total)) / 2
        assert learning_rate(step, total, peak=0.3, warmup=0) == pytest.approx(expected, abs=1e-15)
    assert learning_rate(total - 1, total, peak=0.3, warmup=0) < 0.3 * 0.002


def test_warm_up_rises_in_a_line_to_the_peak_and_still_ends_at_zero() -> None:
    rates = [learning_rate(step, 100, peak=1.0, warmup=20) for step in range(100)]
    rise = [rates[step + 1] - rates[step] for step in range(18)]
    assert rise == pytest.approx([0.05] * 18)
    assert max(rates) == rates[18] == 1.0
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[18:99]))
    assert rates[98] == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(0, 5, peak=1.0, warmup=5) > 0  # warm-up to the very end


def test_weight_decay_is_one_tick_ahead_and_ends_at_its_last_value() -> None:
    values = [weight_decay(step, 50, first=0.1, last=1e-6) for step in range(50)]
    assert values[24] == pytest.approx((0.1 + 1e-6) / 2)
    assert values[-1] == pytest.approx(1e-6)
    assert values == sorted(values, reverse=True)
    assert weight_decay(49, 50, first=0.0, last=1e-6) == pytest.approx(1e-6)


class Network(nn.Module):
    """Matrices that decay, vectors that do not, and a matrix that does not as it is called a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(7, 5)
        self.norm = nn.LayerNorm(5)
        self.query = nn.Parameter(torch.randn(1, 1, 5))
        self.bias_table = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.first(x)) * self.query[0] + self.bias_table.sum(dim=0)
        return y.pow(3).sum()


def test_steps_equal_a_loop_written_out() -> None:
    torch.manual_seed(0)
    mine = Network()
    theirs = copy.deepcopy(mine)
    settings = OptimSettings(lr=0.02, weight_decay=0.3, warmup=0.25)
    optimizer = ProbeOptimizer(mine, settings, total_steps=30, clip_grad=1.0, final_weight_decay=1e-6)
    decayed = [theirs.first.weight, theirs.query]
    plain = [theirs.first.bias, theirs.norm.weight, theirs.norm.bias, theirs.bias_table]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain}]
    adamw = torch.optim.AdamW(groups, foreach=False)
    for step in range(30):
        x = torch.randn(4, 7)
        for group in adamw.param_groups:
            group["lr"] = learning_rate(step, 30, peak=0.02, warmup=7)
        adamw.param_groups[0]["weight_decay"] = weight_decay(step, 30, first=0.3, last=1e-6)
        adamw.param_groups[1]["weight_decay"] = 0.0
        theirs(x).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        mine(x).backward()
        optimizer.step()
        assert optimizer.lr == pytest.approx(adamw.param_groups[0]["lr"])
    for (name, weight), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6, msg=name)


def test_a_weight_that_is_not_finite_is_noticed() -> None:
    network = Network()
    optimizer = ProbeOptimizer(network, OptimSettings(), total_steps=9, clip_grad=1.0, final_weight_decay=0.0)
    assert optimizer.finite()
    network.norm.bias.data[2] = math.nan
    assert not optimizer.finite()


@pytest.mark.parametrize(("momentum", "clip"), [(0.9, None), (0.0, 0.3)])
def test_sgd_equals_torch_with_its_decay_rule_schedules_and_clipping(momentum: float, clip: float | None) -> None:
    torch.manual_seed(0)
    mine, plain = Network(), Network()
    plain.load_state_dict(mine.state_dict())
    settings = OptimSettings(optimizer="sgd", sgd_lr=0.05, momentum=momentum, weight_decay=0.1, clip_grad=clip)
    total = 12
    optimizer = ProbeOptimizer(mine, settings, total_steps=total, clip_grad=2.0, final_weight_decay=1e-3)
    decayed = [plain.first.weight, plain.query]
    others = [weight for weight in plain.parameters() if all(weight is not other for other in decayed)]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others}]
    sgd = torch.optim.SGD(groups, lr=1.0, momentum=momentum)
    for step in range(total):
        x = torch.randn(4, 7)
        mine(x).backward()
        optimizer.step()
        plain(x).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 2.0 if clip is None else clip)
        for group in sgd.param_groups:
            group["lr"] = learning_rate(step, total, peak=0.05, warmup=0)
        sgd.param_groups[0]["weight_decay"] = weight_decay(step, total, first=0.1, last=1e-3)
        sgd.step()
        sgd.zero_grad()
        assert optimizer.lr == learning_rate(step, total, peak=0.05, warmup=0)
    for name, weight in mine.named_parameters():
        torch.testing.assert_close(weight, plain.get_parameter(name), rtol=1e-5, atol=1e-6, msg=name)
