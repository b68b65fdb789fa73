"""Rectified flow against the authors' own sampler; golden/README.md says how its outputs were made."""

import torch

from actors.engine.models.open_sora import OpenSoraFlowScheduler
from tests.actors.engine.models.published import golden

SHAPE = {"height": 480, "width": 848, "num_frames": 51}


def scheduler(steps=30):
    made = OpenSoraFlowScheduler()
    made.set_timesteps(steps, **SHAPE)
    return made


def velocity(z, t):
    """The same made-up velocities, with and without a prompt, that the authors' sampler was run with."""
    return torch.sin(z) * t / 1000, torch.cos(z) - z


def sample(first_step=0, z=None):
    flow = scheduler()
    z = golden("scheduler")["noise"] if z is None else z
    for timestep in flow.timesteps[first_step:]:
        cond, uncond = velocity(z, timestep)
        z = flow.step(uncond + 7.0 * (cond - uncond), timestep, z).prev_sample
        yield z


def test_the_timesteps_are_the_authors():
    torch.testing.assert_close(scheduler().timesteps, golden("scheduler")["timesteps"], rtol=1e-6, atol=0)


def test_a_guided_run_ends_where_the_authors_run_ends():
    *_, ours = sample()
    theirs = golden("scheduler")["latents"]
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_a_run_resumed_at_any_step_ends_the_same():
    whole = list(sample())
    *_, resumed = sample(first_step=12, z=whole[11])
    assert torch.equal(resumed, whole[-1])


def test_the_right_velocity_leads_from_noise_to_data_exactly():
    noise, data = torch.randn(2, 1, 4, 5, 2, 2)
    flow, z = scheduler(steps=7), noise
    for timestep in flow.timesteps:
        z = flow.step(data - noise, timestep, z, return_dict=False)[0]
    torch.testing.assert_close(z, data, rtol=0, atol=1e-6)


def test_latents_in_bfloat16_go_on_in_the_velocitys_float32():
    flow = scheduler()
    z = torch.zeros(1, 4, 5, 2, 2, dtype=torch.bfloat16)
    assert flow.step(torch.ones(z.shape), flow.timesteps[0], z).prev_sample.dtype == torch.float32


def test_it_is_saved_and_loaded_as_diffusers_schedulers_are(tmp_path):
    OpenSoraFlowScheduler().save_pretrained(tmp_path)
    assert OpenSoraFlowScheduler.from_pretrained(tmp_path).config.num_train_timesteps == 1000
