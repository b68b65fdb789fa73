"""The demo model's text encoder, taught what a caption says before the denoiser learns from it.

Shapes: B captions, N tokens, E width of the text encoder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from actors.engine.demo.clock import Clock, say
from actors.engine.demo.stream import FACTS, Batch

BYT5_VOCABULARY = 384  # 3 special ids, 256 bytes, 125 extra ids


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How the text encoder is built and trained before the denoiser."""

    seconds: float
    width: int = 192
    num_layers: int = 4
    num_heads: int = 4
    feed_forward: int = 384
    learning_rate: float = 1e-3
    captions_per_step: int = 512
    max_steps: int | None = None


def build_text_encoder(settings: TextSettings) -> Any:
    """A transformers T5EncoderModel over bytes."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=BYT5_VOCABULARY,
            d_model=settings.width,
            d_kv=settings.width // settings.num_heads,
            d_ff=settings.feed_forward,
            num_layers=settings.num_layers,
            num_heads=settings.num_heads,
            dropout_rate=0.0,
            relative_attention_num_buckets=32,
            relative_attention_max_distance=96,
            tokenizer_class="ByT5Tokenizer",
        )
    )


class FactHeads(nn.Module):
    """Reads every fact of the caption at every token, padding included; thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, sum(FACTS.values()))

    def loss(self, states_BNE: Tensor, facts_BA: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy over tokens and facts, and the share of right answers."""
        logits = self.linear(states_BNE).float().split(list(FACTS.values()), -1)
        num_tokens = states_BNE.shape[1]
        losses, right = [], []
        for index, logits_BNC in enumerate(logits):
            wanted = facts_BA[:, index, None].expand(-1, num_tokens)
            losses.append(functional.cross_entropy(logits_BNC.flatten(0, 1), wanted.flatten()))
            right.append((logits_BNC.argmax(-1) == wanted).float().mean())
        return torch.stack(losses).mean(), torch.stack(right).mean()


def token_mask(lengths_B: Tensor, num_tokens: int) -> Tensor:
    """True for a caption's own tokens: [B, N]."""
    return torch.arange(num_tokens, device=lengths_B.device)[None] < lengths_B[:, None]


def train_text_encoder(settings: TextSettings, data: Iterator[Batch], device: torch.device) -> Any:
    """A frozen text encoder whose state at every token says what the whole caption says."""
    encoder = build_text_encoder(settings).to(device)
    heads = FactHeads(settings.width).to(device)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=device.type == "cuda"
    )
    clock = Clock(settings.seconds, max_steps=settings.max_steps)
    for step in clock.steps():
        ids, lengths, facts = _captions(data, settings.captions_per_step, device)
        for group in optimizer.param_groups:
            group["lr"] = clock.learning_rate(settings.learning_rate, warmup_steps=100, hold=0.5)
        mask = token_mask(lengths, ids.shape[1])
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            states = encoder(ids, attention_mask=mask.long()).last_hidden_state
        loss, right = heads.loss(states.float(), facts)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 200 == 0:
            say(f"text: {clock.elapsed_s:5.0f} s, step {step}, loss {loss.item():.4f}, right {right.item():.4f}")
    say(f"text: {clock.step} steps, loss {loss.item():.4f}, right {right.item():.4f}")
    return encoder.requires_grad_(False).eval()


def _captions(data: Iterator[Batch], count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, lengths and facts of at least `count` captions."""
    found: list[Batch] = []
    while sum(len(batch.lengths_B) for batch in found) < count:
        found.append(next(data).to(device))
    return (
        torch.cat([batch.token_ids_BN for batch in found]),
        torch.cat([batch.lengths_B for batch in found]),
        torch.cat([batch.facts_BA for batch in found]),
    )
