"""Measures the demo model: `python -m actors.engine.demo.evaluate [--model DIR] [--prompts N] [--steps 30]`.

Makes videos of held-out prompts with diffusers' LattePipeline and reads colour and direction from their pixels.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actors.engine.demo import MODEL_FOLDER
from actors.engine.demo.clock import say
from actors.engine.demo.judge import Score, read_video, score
from actors.engine.demo.render import render, scene_tensors
from actors.engine.demo.scenes import Scene, heldout_scenes
from actors.engine.demo.vocabulary import NUM_FRAMES

GUIDANCE_SCALE = 4.0


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How videos are made for the evaluation."""

    height: int = 64
    width: int = 64
    steps: int = 30
    guidance_scale: float = GUIDANCE_SCALE
    seed: int = 0
    batch_size: int = 32


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """The LattePipeline in `folder`, float32, silent."""
    from diffusers import LattePipeline

    pipeline = LattePipeline.from_pretrained(str(folder)).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def make_videos(pipeline: Any, scenes: Sequence[Scene], settings: SamplingSettings) -> Tensor:
    """Videos [n, T, 3, H, W] in [-1, 1] on the CPU, in the order of `scenes`.

    Each equals what the pipeline makes of the caption alone: a batch holds captions of one length, encoded one by
    one, because the pipeline pads prompts that come together differently. Video i starts from seed + i.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, scene in enumerate(scenes):
        by_length[len(scene.caption)].append(index)
    videos: dict[int, Tensor] = {}
    for indices in by_length.values():
        for start in range(0, len(indices), settings.batch_size):
            part = indices[start : start + settings.batch_size]
            made = _make_batch(pipeline, [scenes[index].caption for index in part], part, settings)
            videos.update(zip(part, made, strict=True))
    return torch.stack([videos[index] for index in range(len(scenes))])


def _make_batch(pipeline: Any, captions: list[str], seeds: list[int], settings: SamplingSettings) -> Tensor:
    pairs = [pipeline.encode_prompt(caption, device=pipeline.device) for caption in captions]
    channels, factor = pipeline.transformer.config.in_channels, pipeline.vae_scale_factor
    shape = (1, channels, NUM_FRAMES, settings.height // factor, settings.width // factor)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(settings.seed + seed)) for seed in seeds]
    frames: Tensor = pipeline(
        prompt=None,
        negative_prompt=None,
        prompt_embeds=torch.cat([prompt for prompt, _ in pairs]),
        negative_prompt_embeds=torch.cat([negative for _, negative in pairs]),
        latents=torch.cat(noise).to(pipeline.device),
        height=settings.height,
        width=settings.width,
        video_length=NUM_FRAMES,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        output_type="pt",
    ).frames
    return frames.float().cpu() * 2 - 1


def judge_videos(videos: Tensor, scenes: Sequence[Scene]) -> Score:
    """The share of `videos` whose colour and direction are those of `scenes`."""
    return score([read_video(video) for video in videos], scenes)


def true_videos(scenes: Sequence[Scene], height: int, width: int) -> Tensor:
    """The videos the scenes stand for."""
    return render(scene_tensors(scenes), height, width)


def psnr(videos: Tensor, reference: Tensor) -> float:
    """Mean over videos of the PSNR in dB between videos [n, T, 3, H, W] in [-1, 1]."""
    error = (videos.clamp(-1, 1) - reference.clamp(-1, 1)).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / error.clamp_min(1e-10))).mean())


def with_attention_broadcast(pipeline: Any, ranges: tuple[int, int, int]) -> None:
    """Turns on diffusers' own PAB with (spatial, temporal, cross) `ranges` over timesteps 100 to 800."""
    from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast

    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=ranges[0],
        temporal_attention_block_skip_range=ranges[1],
        cross_attention_block_skip_range=ranges[2],
        spatial_attention_timestep_skip_range=(100, 800),
        temporal_attention_timestep_skip_range=(100, 800),
        cross_attention_timestep_skip_range=(100, 800),
        # The default pattern also matches the temporal blocks.
        spatial_attention_block_identifiers=(r"^transformer_blocks",),
        current_timestep_callback=lambda: pipeline._current_timestep,
    )
    apply_pyramid_attention_broadcast(pipeline.transformer, config)


def save_strip(path: Path, videos: Tensor, *, num_frames: int = 6) -> None:
    """Writes a PNG with a row of `num_frames` frames for each video [n, T, 3, H, W] in [-1, 1]."""
    from PIL import Image

    chosen = torch.linspace(0, videos.shape[1] - 1, num_frames).round().long()
    rows = [torch.cat(list(video[chosen]), -1) for video in videos]
    pixels = ((torch.cat(rows, -2).clamp(-1, 1) + 1) * 127.5).round().byte()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)


def evaluate(
    folder: Path, settings: SamplingSettings, *, num_prompts: int, pab: bool, strip: Path | None
) -> dict[str, Any]:
    """Accuracy over held-out prompts, the judge's accuracy on true videos, and on request the PSNR under PAB."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scenes = heldout_scenes(num_prompts)
    pipeline = load_pipeline(folder, device)
    videos = make_videos(pipeline, scenes, settings)
    result: dict[str, Any] = {
        "settings": asdict(settings),
        "model": asdict(judge_videos(videos, scenes)),
        "truth": asdict(judge_videos(true_videos(scenes, settings.height, settings.width), scenes)),
    }
    if strip is not None:
        save_strip(strip, videos[:12])
    if pab:
        for ranges in ((2, 4, 6), (3, 5, 7), (5, 7, 9)):
            broadcast = load_pipeline(folder, device)
            with_attention_broadcast(broadcast, ranges)
            made = make_videos(broadcast, scenes, settings)
            name = "pab" + "".join(map(str, ranges))
            result[name] = {"psnr_db": psnr(made, videos), **asdict(judge_videos(made, scenes))}
            say(f"{name}: {result[name]}")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER, help="folder of a LattePipeline")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", default="64x64", help="WIDTHxHEIGHT")
    parser.add_argument("--guidance", type=float, default=GUIDANCE_SCALE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pab", action="store_true", help="also measure diffusers' PAB against no PAB")
    parser.add_argument("--strip", type=Path, help="write a PNG of frames of the first 12 videos")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    width, height = (int(number) for number in options.size.split("x"))
    settings = SamplingSettings(
        height=height, width=width, steps=options.steps, guidance_scale=options.guidance, seed=options.seed
    )
    result = evaluate(options.model, settings, num_prompts=options.prompts, pab=options.pab, strip=options.strip)
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        for name in sorted(set(result) - {"settings"}):
            values = ", ".join(f"{key} {value:.3g}" for key, value in result[name].items())
            sys.stdout.write(f"{name}: {values}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
