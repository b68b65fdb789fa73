"""Rectified flow (arXiv 2209.03003) as Open-Sora 1.2 samples it (its docs/report_03.md)."""

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerOutput

from cluster.sampler import TRAIN_STEPS, SamplerNumbers
from cluster.shape import Shape


class OpenSoraFlowScheduler(SchedulerMixin, ConfigMixin):
    """Euler steps along a velocity, from noise at timestep 1000 to data at 0.

    The timesteps depend on the video's shape: the larger and the longer it is, the more of them are near the noise.
    Guidance is the caller's. Nothing is counted, so a run may begin at any step.
    """

    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(self, num_train_timesteps: int = TRAIN_STEPS) -> None:
        self.timesteps = torch.empty(0)

    def set_timesteps(
        self,
        num_inference_steps: int,
        device: torch.device | str | None = None,
        *,
        height: int,
        width: int,
        num_frames: int,
    ) -> None:
        """Place the steps for a video of this height and width in pixels and of so many frames (not latent ones)."""
        shape = Shape(height=height, width=width, num_frames=num_frames)
        times = SamplerNumbers(kind="open_sora_flow").timesteps(num_inference_steps, shape)
        self.timesteps = torch.tensor(times, device=device)

    def scale_model_input(self, sample: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        """The sample itself; rectified flow scales nothing."""
        return sample

    def step(
        self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, return_dict: bool = True
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """One Euler step with the velocity `model_output` (no variance in it) from `timestep` to the next one below.

        The result has the wider of the two types: latents in bf16 become float32 with a float32 velocity.
        """
        # Found among the timesteps: there is no counter to resume.
        following = (self.timesteps * (self.timesteps < timestep)).max()
        moved = sample + model_output * ((timestep - following) / self.config.num_train_timesteps)
        return SchedulerOutput(prev_sample=moved) if return_dict else (moved,)
