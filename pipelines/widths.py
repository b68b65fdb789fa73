"""How wide a gang each video gets: one number, or a table of token counts for `auto`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cluster.errors import ConfigError, RequestError
from cluster.guidance import Guidance
from cluster.model import ModelNumbers
from cluster.shape import Shape
from pipelines.strict import convert


@dataclass(frozen=True, kw_only=True)
class WidthRule:
    """Videos of at most `max_tokens` tokens get gangs of `width`; without `max_tokens`, all the rest do."""

    width: int
    max_tokens: int | None = None


def _read_table(value: object, key: str) -> object:
    return () if value is None else convert(value, tuple[WidthRule, ...], key)


@dataclass(frozen=True, kw_only=True)
class GangConfig:
    """The width of gangs."""

    width: int | Literal["auto"] = 1
    """Workers that make one video together; auto takes it from the table."""
    table: tuple[WidthRule, ...] = field(default=(), metadata={"read": _read_table})
    """For auto: rules with rising `max_tokens`, the last one without; without rules, or null, auto is by cost."""
    latency_s: float | None = None
    """For auto by cost: a video in so many seconds, by as few workers as do it; null is the most videos an hour."""
    widen: bool = True
    """For auto by cost: at the end of a job, workers that nothing waits for join the videos that are left."""

    def __post_init__(self) -> None:
        if min(self.widths, default=1) < 1:
            raise ConfigError(f"a gang's width is {min(self.widths)}; it must be 1 or more, or auto for gang.width")
        if self.width == "auto":
            self._check_table()
        if self.latency_s is not None and self.latency_s <= 0:
            raise ConfigError(f"gang.latency_s is {self.latency_s:g}; it must be more than 0")
        if self.latency_s is not None and not self.is_by_cost:
            how = f"gang.width is {self.width}" if self.width != "auto" else "gang.table chooses the widths"
            raise ConfigError(
                f"gang.latency_s is {self.latency_s:g} and {how}; use gang.width=auto gang.table=[], "
                "which choose widths by it, or leave gang.latency_s out"
            )

    @property
    def is_by_cost(self) -> bool:
        """Whether widths are chosen by predicted cost."""
        return self.width == "auto" and not self.table

    def _check_table(self) -> None:
        example = "as in [{max_tokens: 1024, width: 1}, {width: 2}]"
        if not self.table:
            return
        *limits, last = [rule.max_tokens for rule in self.table]
        rising = [limit for limit in limits if limit is not None]
        if last is not None or len(rising) < len(limits) or rising != sorted(set(rising)):
            raise ConfigError(f"gang.table must have rising max_tokens and a last entry without, {example}")
        if min(rising, default=1) < 1:
            raise ConfigError(f"gang.table has max_tokens {min(rising)}; it must be 1 or more, {example}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Every width that a video of the job may get."""
        if self.width != "auto":
            return (self.width,)
        return tuple(sorted({rule.width for rule in self.table}))

    def check_workers(self, workers: int, limit: str = "cluster.workers and cluster.domain_workers") -> None:
        """Raise `ConfigError` if a gang could be wider than the workers there are; `limit` is what says how many."""
        widest = max(self.widths, default=1)
        if widest > workers:
            raise ConfigError(
                f"a gang of {widest} is wider than a domain, of which a job may hold {workers} worker"
                f"{'' if workers == 1 else 's'}; {limit} must be {widest} or more, or gangs {workers} or less"
            )

    def width_for(self, shape: Shape, numbers: ModelNumbers, branches: int = 2, guidance: Guidance = "batched") -> int:
        """The width for `shape` with so many guidance branches; `RequestError` if no such gang can make it."""
        width = self._by_tokens(numbers.num_tokens(shape))
        legal = numbers.gang_widths(shape, branches, guidance)
        if width not in legal:
            raise RequestError(f"a gang of {width} cannot share {shape}; its legal widths are {spell_widths(legal)}")
        return width

    def _by_tokens(self, tokens: int) -> int:
        if self.width != "auto":
            return self.width
        fits = (rule.width for rule in self.table if rule.max_tokens is None or tokens <= rule.max_tokens)
        return next(fits)


def spell_widths(widths: Sequence[int]) -> str:
    """Widths as a person reads them: 1 to 16, or 1, 2, 3, 5."""
    if len(widths) > 3 and list(widths) == list(range(widths[0], widths[-1] + 1)):
        return f"{widths[0]} to {widths[-1]}"
    return ", ".join(str(width) for width in widths)
