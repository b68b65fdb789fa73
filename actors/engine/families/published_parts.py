"""The parts of a model whose authors published a transformer and a VAE, beside T5 as transformers saves it.

Shapes: L text tokens, K width of the text features.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from transformers import T5EncoderModel

from actors.engine.families.saved_parts import load_part, load_tokenizer
from actors.engine.models.published import PublishedModel
from cluster.errors import ConfigError

_MOST_TOKENS = 300
"""What Open-Sora 1.2 and Open-Sora-Plan 1.1 were trained with; a longer prompt is cut off."""
_WANTED = {
    "transformer": "what the model's authors published",
    "vae": "what the model's authors published",
    "text_encoder": "T5's encoder, as transformers saves it",
    "tokenizer": "T5's tokenizer, as transformers saves it",
}


@dataclass(frozen=True, kw_only=True)
class PublishedParts:
    """The parts, on one device."""

    transformer: PublishedModel
    vae: PublishedModel
    text_encoder: T5EncoderModel
    tokenizer: Any
    scheduler: Any

    @classmethod
    def load(
        cls,
        path: str,
        device: str,
        dtype: torch.dtype,
        *,
        transformer: type[PublishedModel],
        vae: type[PublishedModel],
        scheduler: Any,
    ) -> Self:
        """What is in the folders `transformer`, `vae`, `text_encoder` and `tokenizer` of `path`.

        Raises:
            ConfigError: a folder is not there, holds another model, or cannot be read.
        """
        folder = Path(path)
        for name, wanted in _WANTED.items():
            if not (folder / name).is_dir():
                raise ConfigError(f"{folder} has no folder {name}; it must hold {wanted}")
        return cls(
            transformer=transformer.from_published(folder / "transformer", dtype).to(device),
            vae=vae.from_published(folder / "vae", dtype).to(device),
            text_encoder=load_part(T5EncoderModel, folder / "text_encoder", dtype).to(device),
            tokenizer=load_tokenizer(folder / "tokenizer"),
            scheduler=scheduler,
        )

    def read(self, prompt: str, *, padded: bool = False) -> torch.Tensor:
        """T5's features of a prompt, (1, L, K): of the tokens that it has, or `padded` to 300.

        In small letters and without blanks around it, as both models' authors read prompts.
        """
        tokens = self.tokenizer(
            prompt.lower().strip(),
            padding="max_length" if padded else False,
            max_length=_MOST_TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(self.text_encoder.device)
        features: torch.Tensor = self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return features
