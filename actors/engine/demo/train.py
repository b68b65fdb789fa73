"""Makes the demo model from nothing on one GPU: `python -m actors.engine.demo.train --out DIR`.

Three phases, each bounded by time: the autoencoder, the text encoder, then the denoiser over both, frozen.
DIR receives the model, `evaluation.json` and strips of frames. `--smoke` runs all of it for a few steps on a CPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from actors.engine.demo.clock import say
from actors.engine.demo.evaluate import SamplingSettings, evaluate, judge_videos, load_pipeline, make_videos
from actors.engine.demo.export import save_model
from actors.engine.demo.scenes import heldout_scenes
from actors.engine.demo.stream import Batch, SceneStream, batches
from actors.engine.demo.text import TextSettings, train_text_encoder
from actors.engine.demo.train_autoencoder import AutoencoderSettings, train_autoencoder
from actors.engine.demo.train_denoiser import (
    DenoiserSettings,
    DenoiserTrainer,
    ExampleSource,
    build_denoiser,
    build_scheduler,
    empty_states,
    train_denoiser,
)
from actors.engine.demo.vocabulary import FRAME_SIZES, TEXT_TOKENS

# (video, patch) pairs of a training step: divides by the patches of every frame size.
POSITIONS = 4608
SMOKE_POSITIONS = 64
SMOKE_FRAME_SIZES = {(64, 64): 1.0}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--minutes-autoencoder", type=float, default=3.0)
    parser.add_argument("--minutes-text", type=float, default=1.25)
    parser.add_argument("--minutes-denoiser", type=float, default=13.0)
    parser.add_argument("--latent-channels", type=int, default=8)
    parser.add_argument("--patch-size", type=int, default=2)
    parser.add_argument("--checkpoints", type=int, default=3, help="exports on the way, into DIR/checkpoint")
    parser.add_argument("--prompts", type=int, default=80, help="held-out prompts of the final evaluation")
    parser.add_argument("--pab", action=argparse.BooleanOptionalAction, default=True, help="evaluate PAB as well")
    parser.add_argument("--workers", type=int, default=8, help="processes that make scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, for a test")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, exports and evaluates; the result is one JSON object on stdout."""
    options = parse(arguments)
    start = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() and not options.smoke else "cpu")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    steps = 2 if options.smoke else None
    vae = train_autoencoder(
        AutoencoderSettings(
            seconds=60 * options.minutes_autoencoder,
            latent_channels=options.latent_channels,
            pixels_per_step=4 * 64 * 64 if options.smoke else AutoencoderSettings.pixels_per_step,
            compile=not options.smoke,
            max_steps=steps,
            seed=options.seed,
        ),
        device,
    )
    data = scene_stream(options)
    text_encoder = train_text(options, data, device, steps)
    denoiser = train_latte(options, data, vae, text_encoder, device, steps)
    parts = {"vae": vae, "text_encoder": text_encoder, "denoiser": denoiser, "scheduler": build_scheduler()}
    size = save_model(options.out / "model", **parts)
    result = final_evaluation(options, start, size)
    (options.out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def scene_stream(options: argparse.Namespace) -> Iterator[Batch]:
    """The endless training data."""
    stream = SceneStream(
        positions=SMOKE_POSITIONS if options.smoke else POSITIONS,
        patch_pixels=8 * options.patch_size,
        frame_sizes=SMOKE_FRAME_SIZES if options.smoke else FRAME_SIZES,
        seed=options.seed,
    )
    return batches(stream, num_workers=0 if options.smoke else options.workers)


def train_text(options: argparse.Namespace, data: Iterator[Batch], device: torch.device, steps: int | None) -> Any:
    """The second phase."""
    settings = TextSettings(
        seconds=60 * options.minutes_text, captions_per_step=16 if options.smoke else 512, max_steps=steps
    )
    torch.manual_seed(options.seed + 1)
    return train_text_encoder(settings, data, device)


def train_latte(
    options: argparse.Namespace,
    data: Iterator[Batch],
    vae: Any,
    text_encoder: Any,
    device: torch.device,
    steps: int | None,
) -> Any:
    """The third phase; exports and judges a few checkpoints on the way."""
    settings = DenoiserSettings(
        seconds=60 * options.minutes_denoiser,
        latent_channels=options.latent_channels,
        patch_size=options.patch_size,
        compile=not options.smoke,
        max_steps=steps,
        seed=options.seed,
    )
    torch.manual_seed(options.seed + 2)
    denoiser = build_denoiser(settings).to(device)
    say(f"denoiser: {sum(p.numel() for p in denoiser.parameters()) / 1e6:.2f} M parameters")
    trainer = DenoiserTrainer(settings, denoiser, empty_states(text_encoder, TEXT_TOKENS, device))

    def checkpoint(progress: float) -> None:
        folder = options.out / "checkpoint"
        save_model(folder, vae=vae, text_encoder=text_encoder, denoiser=denoiser, scheduler=build_scheduler())
        scenes = heldout_scenes(16 if device.type == "cuda" else 1)
        sampling = SamplingSettings(steps=30 if device.type == "cuda" else 2)
        made = judge_videos(make_videos(load_pipeline(folder, device), scenes, sampling), scenes)
        say(f"checkpoint at {progress:.0%}: {made}")

    source = ExampleSource(data, vae, text_encoder, settings, device)
    train_denoiser(trainer, source, checkpoint=checkpoint, checkpoints=options.checkpoints)
    return denoiser


def final_evaluation(options: argparse.Namespace, start: float, size: int) -> dict[str, Any]:
    """Scores of the exported model at two sizes, with a strip of frames for each."""
    result: dict[str, Any] = {"model_bytes": size, "train_seconds": round(time.monotonic() - start)}
    sampling = SamplingSettings(steps=2 if options.smoke else 30)
    for height, width in ((64, 64),) if options.smoke else ((64, 64), (128, 128)):
        name = f"{width}x{height}"
        settings = SamplingSettings(**{**asdict(sampling), "height": height, "width": width})
        result[name] = evaluate(
            options.out / "model",
            settings,
            num_prompts=2 if options.smoke else options.prompts,
            pab=options.pab and not options.smoke and height == 64,
            strip=options.out / f"strip-{name}.png",
        )
        say(f"{name}: {result[name]['model']}")
    result["seconds"] = round(time.monotonic() - start)
    return result


if __name__ == "__main__":
    sys.exit(main())
