"""Numbers as people read them: metrics, p-values, durations and counts; and the error of a failed trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.text import Text

from simclip.evaluation.evaluation_set import EvaluationSet
from simclip.evaluation.kinds import is_share
from simclip.study.store.records import Record


@dataclass(frozen=True)
class Metric:
    """A metric and its format: recalls and accuracies in percent, a loss as it is.

    Attributes:
        name: For example `val/mean_r1`; `objective` for a weighted mean of several metrics.
        percent: Whether values are fractions from 0 to 1, which are formatted in percent.
    """

    name: str
    percent: bool

    @staticmethod
    def of(metric: str | Mapping[str, float]) -> Metric:
        """The metric of that name, or a weighted mean, which is a fraction if all of its metrics are."""
        names = [metric] if isinstance(metric, str) else [*metric]
        percent = all(map(is_share, names))
        return Metric(metric if isinstance(metric, str) else "objective", percent)

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} %" if self.percent else self.name

    @property
    def heading(self) -> str:
        """The title as a column's heading, which a terminal breaks between the set and the metric."""
        return "/\n".join(self.title.rsplit("/", 1))

    @property
    def unit(self) -> str:
        """The name with its unit, in words."""
        return f"{self.name} in percent" if self.percent else self.name

    def bare(self, value: float | None) -> str:
        """The value without its unit, e.g. 43.1; empty for None."""
        if value is None:
            return ""
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def formatted(self, value: float | None) -> str:
        """The value with its unit, e.g. 43.1%; empty for None."""
        return self.bare(value) + ("%" if self.percent and value is not None else "")

    def difference(self, value: float | None) -> str:
        """A difference of two values, in percentage points where they are fractions, e.g. +1.2; empty for None."""
        if value is None:
            return ""
        # Adding zero turns -0.0 into 0.0.
        return f"{round(100 * value, 1) + 0.0:+.1f}" if self.percent else f"{round(value, 3) + 0.0:+.3f}"

    def points(self, difference: float | None) -> str:
        """A difference with its unit, e.g. +1.2 points."""
        return f"{self.difference(difference)} points" if self.percent else self.difference(difference)


def main_metrics(sets: Iterable[EvaluationSet]) -> list[Metric]:
    """The first metric of each evaluation set."""
    return [Metric.of(each.qualified(each.metrics)[0]) for each in sets]


def p_value(p: float | None) -> str:
    """A p-value, e.g. 0.032 or <0.001; empty for None."""
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """A time in one unit, e.g. 38 s, 12 min, 1.7 h or 3.2 days; empty for None."""
    if seconds is None:
        return ""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def reason(record: Record) -> str:
    """The error of a failed trial in one line, without the colours that Ray adds."""
    return " ".join(Text.from_ansi(record.error or "").plain.split()) or "no error message"


def counted(number: int, noun: str) -> str:
    """A number and its noun, e.g. 1 trial, 2 trials or 2 studies."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("dy") else f"{number} {noun}s"
