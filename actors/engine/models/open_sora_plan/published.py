"""Checkpoints as published at huggingface.co/LanguageBind/Open-Sora-Plan-v1.1.0, read strictly."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from cluster.errors import ConfigError

_NAMED = 8


class PublishedModel:
    """What a diffusers model adds to itself to read a published checkpoint and nothing else.

    Goes before `ModelMixin` among the bases.
    """

    fixed_settings: ClassVar[Mapping[str, object]]
    """Settings of the published config.json that the class has built in; another value is another architecture."""

    @classmethod
    def from_pretrained(cls, folder: Any, **options: Any) -> Self:
        """The model of a folder, as diffusers loads it; `ConfigError` names keys that are missing or unexpected."""
        model, info = super().from_pretrained(folder, output_loading_info=True, **options)  # type: ignore[misc]
        wrong = [f"{kind} {_named(info[f'{kind}_keys'])}" for kind in ("missing", "unexpected") if info[f"{kind}_keys"]]
        if wrong:
            place = Path(folder, options.get("subfolder") or "")
            raise ConfigError(f"{place} holds no {cls.__name__}: {'; '.join(wrong)}")
        return model

    @classmethod
    def extract_init_dict(cls, config_dict: Mapping[str, Any], **options: Any) -> Any:
        """The settings that the class takes; those it has built in are checked, those of training are dropped.

        Raises:
            ConfigError: a built-in setting has another value.
        """
        for name, value in cls.fixed_settings.items():
            if config_dict.get(name, value) != value:
                raise ConfigError(f"{name} is {config_dict[name]!r} in config.json; {cls.__name__} has {value!r}")
        taken = inspect.signature(cls).parameters
        settings = {name: value for name, value in config_dict.items() if name in taken or name.startswith("_")}
        return super().extract_init_dict(settings, **options)  # type: ignore[misc]


def _named(keys: Sequence[str]) -> str:
    rest = len(keys) - _NAMED
    return ", ".join(sorted(keys)[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
