"""A block's MLP is what diffusers makes of it, in one kernel less where a GPU's library has one for it."""

import pytest
import torch
from diffusers.models.attention import FeedForward
from torch.nn.functional import gelu

from actors.engine.feed_forward import feed_forward, linear_gelu


@pytest.mark.parametrize("activation", ["gelu-approximate", "gelu", "geglu"])
def test_it_is_what_diffusers_makes(activation: str) -> None:
    torch.manual_seed(0)
    ff, x = FeedForward(8, activation_fn=activation).eval(), torch.randn(2, 3, 5, 8)
    with torch.no_grad():
        assert torch.equal(feed_forward(ff, x), ff(x))


@pytest.mark.gpu
def test_in_one_kernel_it_is_the_tanh_gelu_and_not_the_exact_one() -> None:
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(64, 256, device="cuda"), 3 * torch.randn(2, 3, 64, device="cuda")
    with torch.no_grad():
        found, apart = linear_gelu(linear, x), linear(x)
    assert (found - gelu(apart, approximate="tanh")).abs().max() < 1e-5
    assert (found - gelu(apart)).abs().max() > 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("has_bias", [True, False])
def test_in_one_kernel_it_is_the_same_but_for_a_rounding(has_bias: bool) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 256, bias=has_bias, device="cuda", dtype=torch.bfloat16)
    x = torch.randn(2, 3, 64, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        whole = gelu(linear.float()(x.float()), approximate="tanh")
        fused = linear_gelu(linear.bfloat16(), x)
    assert fused.shape == (2, 3, 256)
    assert (fused.float() - whole).abs().max() <= 2**-7 * whole.abs().max()
