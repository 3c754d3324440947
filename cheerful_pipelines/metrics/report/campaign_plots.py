"""Pictures of one campaign: funnel, reply curve with its band, days, label mix, sender health."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cheerful_pipelines.classification.labels.table import SHOWN_LABELS
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.metrics.counting.compute import Timing, waits_of
from cheerful_pipelines.metrics.counting.curves import AT_RISK_AT_LEAST, reply_curve, whole_hour
from cheerful_pipelines.metrics.counting.definitions import EXPECTED_AFTER_DAYS
from cheerful_pipelines.metrics.counting.intervals import wilson_interval
from cheerful_pipelines.metrics.models import StoredMetric
from cheerful_pipelines.metrics.report.plot_style import (
    FUNNEL,
    GRID,
    INK,
    QUIET,
    as_markdown,
    card,
    titled,
)
from cheerful_pipelines.metrics.report.plots import days_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SENDERS = 12
_HEALTH = (
    ("hard_bounced", "contacted", "hard bounces", "#c8373a"),
    ("opted_out_delivered", "delivered", "opted out", "#e4873a"),
    ("replied", "delivered", "replied", "#3a66ab"),
)


def campaign_plots(rows: Sequence[StoredMetric], timings: Sequence[Timing], known_at: datetime) -> dict[str, Markdown]:
    """Pictures as Markdown images by name; none where nobody was written to yet."""
    whole = {row.metric: row.value or 0.0 for row in rows if row.grain == "campaign"}
    if not whole.get("contacted"):
        return {}
    pictures = {
        "funnel": as_markdown(funnel(whole), "Funnel of the campaign"),
        "reply_curve": as_markdown(curve(timings, known_at), "How long replies take, with band"),
        "days": as_markdown(
            days_figure(rows, "by the day of the campaign's time zone"), "Mails sent and first replies by day"
        ),
        "sender_health": as_markdown(senders(rows), "Bounces, opt-outs and replies by sender"),
    }
    if whole.get("replied"):
        pictures["labels"] = as_markdown(labels(whole), "What replies meant")
    return pictures


def funnel(whole: dict[str, float]) -> "Figure":
    """From recipients to positive answers, as counts and as shares of those contacted."""
    stages = [("recipients", "#cbd5e5"), *FUNNEL]
    figure = card(9.6, 3.4)
    panel = figure.subplots()
    largest = max(whole.get(key, 0.0) for key, _ in stages) or 1.0
    for place, (key, colour) in enumerate(stages):
        count = whole.get(key, 0.0)
        panel.barh(place, count, color=colour, height=0.72)
        words = f"{count:,.0f}"
        if key not in ("recipients", "contacted"):
            words += f"  ·  {count / whole['contacted']:.0%} of contacted"
        panel.annotate(words, (count, place), xytext=(6, 0), textcoords="offset points", va="center", color=INK)
    panel.set_xlim(0, largest * 1.3)  # room for the words right of the longest bar
    panel.set_xticks([])
    panel.set_yticks(range(len(stages)), [key for key, _ in stages])
    panel.invert_yaxis()
    return titled(figure, "Who was reached and who answered", "recipients of the campaign")


def curve(timings: Sequence[Timing], known_at: datetime) -> "Figure":
    """The share that has answered by days since the first mail (Kaplan–Meier), with its 95 % band."""
    from matplotlib.ticker import MaxNLocator

    waits = waits_of(timings, whole_hour(known_at))
    points = [point for point in reply_curve(waits) if point.hours <= EXPECTED_AFTER_DAYS * 24]
    figure = card(9.6, 3.8)
    panel = figure.subplots()
    end = min(max((wait.hours for wait in waits), default=24.0), EXPECTED_AFTER_DAYS * 24.0) / 24
    days = [0.0, *(point.hours / 24 for point in points), end]
    shares = [0.0, *(point.share for point in points)]
    lows, highs = [0.0, *(point.low for point in points)], [0.0, *(point.high for point in points)]
    panel.fill_between(
        days, [*lows, lows[-1]], [*highs, highs[-1]], step="post", color="#9db4d6", alpha=0.45, linewidth=0
    )
    panel.step(days, [*shares, shares[-1]], where="post", color="#3a66ab", linewidth=2)
    thin = [point.hours / 24 for point in points if point.at_risk < AT_RISK_AT_LEAST]
    if thin:
        panel.axvspan(thin[0], max(end, thin[0]), color="#f1f3f5", zorder=0)
    panel.set_xlim(0, max(end, 1.0))
    panel.set_ylim(0, min(1.0, max(highs[-1] * 1.2, 0.05)))
    panel.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.tick_params(axis="x", pad=9)  # clear of the lowest share
    panel.set_xlabel("days since our first mail", color=QUIET)
    panel.grid(color=GRID)
    note = f"{len(waits):,} delivered; those who have not answered yet are waited for, not counted as silent"
    return titled(figure, "How long replies take", note + ("; grey: too few left to say" if thin else ""))


def labels(whole: dict[str, float]) -> "Figure":
    """What those who answered mean now, one bar a label, the most frequent first."""
    found = [(whole.get(f"label_{label.name}", 0.0), label) for label in SHOWN_LABELS]
    shown = sorted((item for item in found if item[0]), key=lambda item: (-item[0], item[1].name))
    figure = card(9.6, 0.34 * max(len(shown), 1) + 1.2)
    panel = figure.subplots()
    largest = max((count for count, _ in shown), default=1.0)
    for place, (count, label) in enumerate(shown):
        panel.barh(place, count, color=label.colour, height=0.72)
        words = f"{count:,.0f}  ·  {count / whole['replied']:.0%}"
        panel.annotate(words, (count, place), xytext=(6, 0), textcoords="offset points", va="center", color=INK)
    panel.set_xlim(0, largest * 1.2)
    panel.set_xticks([])
    panel.set_yticks(range(len(shown)), [label.title for _, label in shown])
    panel.invert_yaxis()
    return titled(figure, "What replies meant", f"newest label of each of the {whole['replied']:,.0f} who replied")


def senders(rows: Sequence[StoredMetric]) -> "Figure":
    """By mailbox: hard bounces of contacted, opt-outs and replies of delivered, with 95 % intervals."""
    by_sender: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.grain == "sender":
            by_sender.setdefault(row.grain_key, {})[row.metric] = row.value or 0.0
    largest = sorted(by_sender, key=lambda alias: (-by_sender[alias].get("contacted", 0.0), alias))
    shown = largest[:MOST_SENDERS][::-1]
    figure = card(9.6, 0.42 * max(len(shown), 1) + 1.7)
    panels = figure.subplots(1, len(_HEALTH), sharey=True, squeeze=False)[0]
    for panel, (over, under, title, colour) in zip(panels, _HEALTH, strict=True):
        highest = 0.0
        for place, alias in enumerate(shown):
            count, whole = by_sender[alias].get(over, 0.0), by_sender[alias].get(under, 0.0)
            if not whole:
                continue
            low, high = wilson_interval(count, whole)
            highest = max(highest, high)
            panel.plot([low, high], [place, place], color=colour, alpha=0.3, linewidth=5, solid_capstyle="round")
            panel.plot(count / whole, place, "o", color=colour, markersize=7)
            panel.annotate(
                f"{count / whole:.1%}", (high, place), xytext=(9, 0), textcoords="offset points", va="center",
                fontsize=9, color=INK,
            )  # fmt: skip
        panel.set_xlim(0, max(highest * 1.45, 0.02))
        panel.set_xticks([])
        panel.set_ylim(-0.6, len(shown) - 0.4)
        panel.set_title(title, fontsize=10, color=INK, loc="left")
    panels[0].set_yticks(range(len(shown)), [f"{alias}  (n={by_sender[alias]['contacted']:.0f})" for alias in shown])
    note = "share with its 95 % interval; bounces of contacted, the others of delivered"
    if len(shown) < len(by_sender):
        note += f"; {len(shown)} of {len(by_sender)} mailboxes"
    return titled(figure, "Sender health", note)
