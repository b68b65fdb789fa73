"""The forecast of joint models against what small ones really send, hold and multiply."""

import dataclasses

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan, CogVideoXTransformer3DModel, WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode

from actors.engine.models.cogvideox import CogVideoXDenoiser
from actors.engine.models.wan import WanDenoiser
from cluster.forecast import forecast
from cluster.model import ModelNumbers
from cluster.shape import Shape
from cluster.vae import VaeNumbers
from cluster.workload import Workload
from tests.actors.engine.models.joint import HEADS, LAYERS, PABS, TEXT, cogvideox, noise, run, run_gangs, schedule, wan
from tests.cluster.numbers import COGVIDEOX_5B, WAN_1_3B

WIDTHS = (2, 3, 4)
SMALL = {"num_layers": LAYERS, "num_heads": HEADS, "latent_channels": 4, "text_tokens": TEXT, "text_width": 24}
MODELS = {
    "cogvideox-2b": (
        dataclasses.replace(COGVIDEOX_5B, hidden_size=HEADS * 16, modulation_size=32, **SMALL),
        Shape(height=48, width=80, num_frames=9),
    ),
    "wan": (
        dataclasses.replace(WAN_1_3B, hidden_size=HEADS * 12, mlp_size=96, **SMALL),
        Shape(height=80, width=112, num_frames=17),
    ),
}
VAES = {
    "cogvideox": VaeNumbers(
        decoder="cogvideox",
        channels=(8, 16, 16, 32),
        layers_per_block=3,
        latent_channels=16,
        frame_group=8,
        latent_group=2,
    ),
    "wan": VaeNumbers(decoder="wan", channels=(8, 16, 32, 32), latent_channels=16, frame_group=4),
}


@pytest.fixture(scope="module")
def gangs(tmp_path_factory):
    return run_gangs(tuple(MODELS), WIDTHS, tmp_path_factory.mktemp("joint"))


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("name", MODELS)
def test_the_forecast_is_what_rank_0_sends_and_holds(gangs, name, pab, width):
    (numbers, shape), real = MODELS[name], gangs[name, pab, width]
    said = forecast(numbers, shape, schedule(pab), width)
    assert (said.all_to_all, said.all_gather) == (real.all_to_all, real.all_gather)
    assert said.cache_bytes == real.cache_peak_bytes


def counted_denoiser(name: str) -> CogVideoXDenoiser | WanDenoiser:
    """Wan with as many sinusoids for the timestep as the published one has."""
    if name == "wan":
        return WanDenoiser(WanTransformer3DModel.from_config({**wan().config, "freq_dim": 256}).eval())
    return CogVideoXDenoiser(cogvideox(rotary=False))


@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("name", MODELS)
def test_the_forecast_counts_every_matrix_product_that_torch_counts(name, pab):
    denoiser, (numbers, shape) = counted_denoiser(name), MODELS[name]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run(denoiser, noise(name), pab)
    flops = Workload(numbers=numbers, shape=shape, schedule=schedule(pab), element_bytes=4).flops()
    # torch does not count softmax(QK)V on the CPU.
    wanted = sum(flops[part] for part in ("projections", "mlp", "ends", "text"))
    assert counter.get_total_flops() == wanted


def small_decoder(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if name == "wan":
        return AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 4, 4]).eval()
    return AutoencoderKLCogVideoX(
        block_out_channels=(8, 16, 16, 32),
        layers_per_block=3,
        latent_channels=16,
        norm_num_groups=4,
    ).eval()


@pytest.mark.parametrize("latent_frames", [1, 3, 5])
@pytest.mark.parametrize("name", VAES)
def test_the_forecast_counts_every_convolution_of_a_causal_decoder(name, latent_frames):
    latents = torch.zeros(1, 16, latent_frames, 4, 6)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        frames = small_decoder(name).decode(latents, return_dict=False)[0].shape[2]
    attention = 4 * latent_frames * 24**2 * 32 if name == "wan" else 0
    assert VAES[name].decode_flops(24, latent_frames) - attention == counter.get_total_flops()
    assert VAES[name].latent_frames(frames) == latent_frames


@pytest.mark.parametrize(
    ("numbers", "transformer", "decoder", "published"),
    [
        (
            COGVIDEOX_5B,
            lambda: CogVideoXTransformer3DModel(
                num_attention_heads=48, num_layers=42, use_rotary_positional_embeddings=True
            ),
            AutoencoderKLCogVideoX,
            {"block_out_channels": (128, 256, 256, 512), "layers_per_block": 3, "latent_channels": 16},
        ),
        (
            WAN_1_3B,
            lambda: WanTransformer3DModel(num_attention_heads=12, num_layers=30, ffn_dim=8960),
            AutoencoderKLWan,
            {},
        ),
    ],
    ids=["cogvideox", "wan"],
)
def test_parameters_are_those_of_diffusers_modules(numbers: ModelNumbers, transformer, decoder, published):
    """Within 0.5 % of the transformer's, which has biases and norms too, and 20 % of the VAE's, whose halves differ."""
    with torch.device("meta"):
        sizes = [sum(weight.numel() for weight in part.parameters()) for part in (transformer(), decoder(**published))]
    assert numbers.parameters == pytest.approx(sizes[0], rel=0.005)
    assert numbers.vae.parameters == pytest.approx(sizes[1], rel=0.2)
