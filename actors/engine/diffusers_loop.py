"""The denoising loops of diffusers' own pipelines over the same transformer, with and without its own PAB.

Shapes: B batch (guidance branches), L text tokens, K width of the text features, C latent channels, T latent frames,
h and w latent height and width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

from actors.engine.denoise_variants import broadcast_kinds
from actors.engine.random_models import RandomModel
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule

_EVERYWHERE = (-1.0, 1001.0)


class DiffusersLoop:
    """Denoises as the pipeline of a family does; see `__call__` of LattePipeline, CogVideoXPipeline, WanPipeline.

    Source: diffusers 0.42. Progress bars, callbacks and interrupts are left out.
    """

    def __init__(self, model: RandomModel, texts: Sequence[torch.Tensor], scale: float) -> None:
        """Text features are (1, L, K), the negative one first; one text alone is without guidance."""
        self._model = model
        self._texts = list(texts)
        self._scale = scale
        self._timestep = torch.tensor(0)

    def __call__(self, scheduler: Any, noise_1CThw: torch.Tensor) -> torch.Tensor:
        """The final latents (1, C, T, h, w)."""
        loops = {"cogvideox": self._cogvideox, "latte": self._latte, "wan": self._wan}
        return loops[self._model.family](scheduler, noise_1CThw)

    @contextmanager
    def broadcasting(self, pab: PabConfig, schedule: BroadcastSchedule) -> Iterator[None]:
        """Put diffusers' hooks in for one run, and leave the transformer as it was.

        Broadcast are attention outputs only, of the kinds that have a range above 1.
        """
        transformer = self._model.transformer
        config = self._config(pab, schedule)
        try:
            apply_pyramid_attention_broadcast(transformer, config)
            yield
        finally:
            self._unhook()

    def _config(self, pab: PabConfig, schedule: BroadcastSchedule) -> PyramidAttentionBroadcastConfig:
        window, kinds = timestep_window(pab, schedule), broadcast_kinds(self._model.numbers, pab)
        settings: dict[str, object] = {f"{kind}_attention_block_skip_range": getattr(pab, kind) for kind in kinds}
        settings |= {f"{kind}_attention_timestep_skip_range": window for kind in kinds}
        return PyramidAttentionBroadcastConfig(
            **settings,
            # Its default also matches Latte's temporal blocks and gives them the spatial range.
            spatial_attention_block_identifiers=(r"^transformer_blocks",),
            current_timestep_callback=lambda: self._timestep,
        )

    def _unhook(self) -> None:
        """Hooks that are taken out leave a `forward` behind, by which compiled blocks would be compiled anew.

        What they keep goes first: they and their module hold one another, and with them gigabytes until Python looks.
        """
        for module in self._model.transformer.modules():
            if "_diffusers_hook" in module.__dict__:
                module._diffusers_hook.reset_stateful_hooks(recurse=False)
                del module.__dict__["_diffusers_hook"]
                module.__dict__.pop("forward", None)

    def _latte(self, scheduler: Any, x_1CThw: torch.Tensor) -> torch.Tensor:
        transformer, text_BLK = self._model.transformer, torch.cat(self._texts)
        for t in scheduler.timesteps:
            self._timestep = t
            x_BCThw = scheduler.scale_model_input(torch.cat([x_1CThw] * len(text_BLK)), t)
            prediction = transformer(
                hidden_states=x_BCThw,
                encoder_hidden_states=text_BLK,
                timestep=t[None].expand(len(text_BLK)),
                return_dict=False,
            )[0]
            prediction = self._guide(prediction).chunk(2, dim=1)[0]
            x_1CThw = scheduler.step(prediction, t, x_1CThw, return_dict=False)[0]
        return x_1CThw

    def _cogvideox(self, scheduler: Any, x_1CThw: torch.Tensor) -> torch.Tensor:
        transformer, text_BLK = self._model.transformer, torch.cat(self._texts)
        x_1TChw = x_1CThw.transpose(1, 2)
        rotation = self._rotation(x_1TChw)
        for t in scheduler.timesteps:
            self._timestep = t
            x_BTChw = scheduler.scale_model_input(torch.cat([x_1TChw] * len(text_BLK)), t)
            prediction = transformer(
                hidden_states=x_BTChw,
                encoder_hidden_states=text_BLK,
                timestep=t.expand(len(text_BLK)),
                image_rotary_emb=rotation,
                return_dict=False,
            )[0]
            x_1TChw = scheduler.step(self._guide(prediction.float()), t, x_1TChw, return_dict=False)[0]
            x_1TChw = x_1TChw.to(text_BLK.dtype)
        return x_1TChw.transpose(1, 2)

    def _wan(self, scheduler: Any, x_1CThw: torch.Tensor) -> torch.Tensor:
        transformer = self._model.transformer
        scheduler.set_begin_index(0)
        for t in scheduler.timesteps:
            self._timestep = t
            narrow_1CThw = x_1CThw.to(self._model.dtype)
            predictions = [
                transformer(
                    hidden_states=narrow_1CThw, timestep=t.expand(1), encoder_hidden_states=text_1LK, return_dict=False
                )[0]
                for text_1LK in self._texts
            ]
            x_1CThw = scheduler.step(self._guide(torch.cat(predictions)), t, x_1CThw, return_dict=False)[0]
        return x_1CThw

    def _guide(self, prediction: torch.Tensor) -> torch.Tensor:
        if len(prediction) == 1:
            return prediction
        uncond, cond = prediction.chunk(2)
        return uncond + self._scale * (cond - uncond)

    def _rotation(self, x_1TChw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Cosines and sines of all of the video's tokens, made once a run."""
        config = self._model.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        patch = config.patch_size
        rows, columns = (edge // patch for edge in x_1TChw.shape[3:])
        trained = (config.sample_width // patch, config.sample_height // patch)
        cos, sin = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            crops_coords=get_resize_crop_region_for_grid((rows, columns), *trained),
            grid_size=(rows, columns),
            temporal_size=x_1TChw.shape[1],
            device=x_1TChw.device,
        )
        return cos, sin


def timestep_window(pab: PabConfig, schedule: BroadcastSchedule) -> tuple[float, float]:
    """The window in timesteps, both ends open; one in fractions of the run begins and ends beside its steps."""
    if pab.timesteps:
        return pab.timesteps
    if pab.window is None:
        return _EVERYWHERE
    start, end = pab.window
    times = schedule.timesteps
    inside = [time for step, time in enumerate(times) if start <= step / len(times) < end]
    return (min(inside) - 1e-3, max(inside) + 1e-3) if inside else (0.0, 0.0)
