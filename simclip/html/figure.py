"""Pictures: their common style, and matplotlib figures as SVG in the page's colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib.style
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simclip.runtime.files import write_atomically

#: Colour of text and axes, replaced by the page's text colour; nearly black in the SVG and PNG files.
INK = "#010203"
#: The palette of Okabe and Ito, which colour-blind people can tell apart, dark enough for a white background, with the
#: names of CSS variables: a page on a dark background gives them lighter values.
ARM_COLOURS = {"#0072b2": "arm-1", "#cf5a00": "arm-2", "#008f68": "arm-3", "#b8578f": "arm-4", "#9a7700": "arm-5"}
BETTER, WORSE = "#0072b3", "#cf5a01"
COLOUR_NAMES = {**ARM_COLOURS, BETTER: "better", WORSE: "worse"}
#: Opacity of what stands in the background.
FAINT = 0.3

#: A number with more than two decimals.
DECIMALS = re.compile(r"-?\d+\.\d{3,}")

WIDTH = 4.6  # inches; on a phone's screen the text has the size of the phone's small text
LABEL = 24  # characters of a name, if it takes no more to tell it from the others
#: Fonts of the picture files for what DejaVu Sans lacks, such as Chinese; the first ones that are installed are used.
WIDE_FONTS = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "simclip", "text.parse_math": False,
    "font.size": 9.5, "axes.labelsize": 9.5,
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
    """A picture of a page.

    Attributes:
        name: File name without its ending; unique within a page.
        title: What it shows.
        caption: How to read it.
        alt: Description for screen readers.
        figure: The matplotlib figure.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The picture as an SVG file."""
        drawn = _to_svg(self.figure)
        self.figure.set_layout_engine("none")  # keep the layout for the PNG
        return drawn

    def save(self, folder: Path) -> None:
        """Write the picture as SVG and as PNG."""
        write_atomically(folder / f"{self.name}.svg", self.svg)
        self.figure.savefig(folder / f"{self.name}.png", dpi=200, facecolor="white", metadata={"Software": None})

    def inline(self, prefix: str = "") -> str:
        """The SVG for a page: colours as CSS variables, no fixed size, ids that start with the prefix and the name.

        Coordinates have two decimals and lines no indentation, so that a page of 1,000 trials stays small.
        """
        return _inline(self.svg, prefix + self.name)


@contextmanager
def style() -> Iterator[None]:
    """The matplotlib style in which pictures are drawn and saved."""
    installed = set(font_manager.get_font_names())
    families = ["DejaVu Sans", *(font for font in WIDE_FONTS if font in installed)]
    with matplotlib.style.context(["default", STYLE, {"font.family": families}]):
        yield


@contextmanager
def missing_glyphs() -> Iterator[set[str]]:
    """Collects the characters that no font of the picture files has, in place of matplotlib's warnings."""
    missing: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield missing
    for warning in caught:
        if found := re.match(r"Glyph (\d+) .* missing from font", str(warning.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def panel(title: str, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes.

    Args:
        title: Title of the figure.
        height: Height of the figure in inches.
    """
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    add_title(figure, title)
    return figure, axes


def add_title(figure: Figure, title: str) -> None:
    """Set the title at the figure's left edge."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _to_svg(figure: Figure) -> str:
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
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: DECIMALS.sub(_rounded, found[0]), svg)
    return re.sub(r"\s*\n\s*", "\n", svg).replace(INK, "currentColor")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"
