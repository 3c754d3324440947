"""How our pictures look: a white card that reads the same in light and dark pages. matplotlib only, loaded late."""

import base64
import io
from typing import TYPE_CHECKING

from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_PICTURE_BYTES = 200_000

INK, QUIET, GRID = "#1f2933", "#697586", "#e4e7eb"
FUNNEL = (
    ("contacted", "#9db4d6"),
    ("delivered", "#6d8fc4"),
    ("replied", "#3a66ab"),
    ("positive", "#2b9a66"),
)


def as_markdown(figure: "Figure", words: str) -> Markdown:
    """The picture as a Markdown image with a data URI, as Dagster's metadata shows it."""
    encoded = base64.b64encode(as_png(figure)).decode("ascii")
    return markdown.image(words, encoded)


def as_png(figure: "Figure") -> bytes:
    """The picture as PNG; drawn coarser where it would be larger than LARGEST_PICTURE_BYTES."""
    for dots in (130, 90, 60):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dots, facecolor="white")
        if buffer.tell() <= LARGEST_PICTURE_BYTES:
            break
    return buffer.getvalue()


def card(width: float, height: float) -> "Figure":
    """An empty card. No pyplot: it would keep every figure in memory and look for a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.14))
    FigureCanvasAgg(figure)
    return figure


def titled(figure: "Figure", title: str, note: str) -> "Figure":
    """Title and note above the panels, frames and ticks made quiet."""
    for panel in figure.axes:
        for side in ("top", "right", "left", "bottom"):
            panel.spines[side].set_visible(False)
        panel.tick_params(length=0, colors=QUIET, labelsize=9)
        panel.set_axisbelow(True)
    heading = figure.suptitle(f"{title}\n", x=0.015, ha="left", fontsize=13, fontweight="bold", color=INK)
    # Inside the title's own second line: constrained layout keeps that line free.
    figure.canvas.draw()
    box = heading.get_window_extent().transformed(figure.transFigure.inverted())
    figure.text(0.015, box.y0, note, ha="left", va="bottom", fontsize=9, color=QUIET)
    return figure


def readable_on(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else "white"


def date_axis(panel: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
