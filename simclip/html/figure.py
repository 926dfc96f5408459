"""What all pictures share: their look, and how a matplotlib figure becomes an SVG that takes on the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simclip.runtime.files import write_atomically

#: Text and axes are drawn in it and take on the page's text colour; nearly black where there is no page.
INK = "#010203"
#: Okabe and Ito's colours, which the colour-blind tell apart, as dark as white ground needs. On a dark ground the page
#: gives them lighter values, by the names here.
ARM_COLOURS = {"#0072b2": "arm-1", "#cf5a00": "arm-2", "#008f68": "arm-3", "#b8578f": "arm-4", "#9a7700": "arm-5"}
BETTER, WORSE = "#0072b3", "#cf5a01"
COLOUR_NAMES = {**ARM_COLOURS, BETTER: "better", WORSE: "worse"}
#: Of whatever stands in the background.
FAINT = 0.3

WIDTH = 4.6  # inches: as wide as a phone, its text is as large as a phone's own small text
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "simclip", "text.parse_math": False,
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.labelsize": 9.5,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "xtick.major.size": 3, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.linewidth": 0.8,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.7,
    "axes.axisbelow": True, "axes.unicode_minus": True,
    "legend.frameon": False, "legend.fontsize": 9, "legend.handlelength": 1.4, "legend.columnspacing": 1.2,
    "lines.linewidth": 1.8, "figure.facecolor": "none", "axes.facecolor": "none", "figure.constrained_layout.use": True,
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One picture of a report.

    Attributes:
        name: Of its files; unique within a report.
        title: What it shows.
        caption: A sentence on how to read it.
        alt: What it shows, for those who do not see it.
        figure: Drawn.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """As a file of its own."""
        drawn = _xml(self.figure)
        self.figure.set_layout_engine("none")  # it is laid out now
        return drawn

    def save(self, folder: Path) -> None:
        """Write it as SVG and as PNG."""
        write_atomically(folder / f"{self.name}.svg", self.svg)
        self.figure.savefig(folder / f"{self.name}.png", dpi=200, facecolor="white", metadata={"Software": None})

    def inline(self, prefix: str = "") -> str:
        """The SVG for a page: named colours, no id that another picture on it has, no size of its own."""
        return _inline(self.svg, prefix + self.name)


@contextmanager
def style() -> Iterator[None]:
    """Pictures are drawn and saved within."""
    with matplotlib.style.context(["default", STYLE]):
        yield


def panel(title: str, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes.

    Args:
        title: Above them.
        height: In inches.
    """
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    head(figure, title)
    return figure, axes


def head(figure: Figure, title: str) -> None:
    """The title, flush with the figure's left edge."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def shortened(name: str, most: int = 24) -> str:
    """A name that fits beside a picture: its end tells arms apart, so the middle goes."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"


def _xml(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue().replace("'DejaVu Sans'", FONTS).replace("font: 700 ", "font: 600 ")


def _inline(xml: str, name: str) -> str:
    svg = xml[xml.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg).replace("xlink:href", "href")
    for colour, variable in COLOUR_NAMES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg.replace(INK, "currentColor")
