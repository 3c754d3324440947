"""Pictures of the portfolio: funnels, days, label mix, reply rates with their margins. matplotlib only,
loaded late.

Each picture is drawn on a white card, so that it reads the same in Dagster's light and dark pages. No
campaign of a large portfolio pushes the others off the page: the largest are shown, and the title says how
many there are.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from cheerful_pipelines.classification.labels.table import SHOWN_LABELS
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.metrics.counting.intervals import wilson_interval
from cheerful_pipelines.metrics.models import StoredMetric
from cheerful_pipelines.metrics.report.plot_style import (
    FUNNEL,
    GRID,
    INK,
    QUIET,
    as_markdown,
    card,
    date_axis,
    readable_on,
    titled,
)
from cheerful_pipelines.metrics.report.tables import by_campaign

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CAMPAIGNS = 8
MOST_DAYS = 90


Campaigns = dict[str, dict[str, StoredMetric]]


def portfolio_plots(rows: Sequence[StoredMetric]) -> dict[str, Markdown]:
    """Pictures as Markdown images by name; none where there is nothing to show yet."""
    campaigns = {slug: row for slug, row in by_campaign(rows).items() if _value(row, "contacted")}
    if not campaigns:
        return {}
    return {
        "funnels": as_markdown(funnel_figure(campaigns), "Funnel of each campaign"),
        "days": as_markdown(days_figure(rows), "Mails sent and replies by day"),
        "labels": as_markdown(labels_figure(campaigns), "What replies meant, by campaign"),
        "reply_rates": as_markdown(reply_rate_figure(campaigns), "Reply rate of each campaign with its margin"),
    }


def funnel_figure(campaigns: Campaigns) -> "Figure":
    """Contacted, delivered, replied and positive of each campaign, one panel each, as shares of contacted."""
    shown = _largest(campaigns)
    columns = min(len(shown), 4)
    lines = -(-len(shown) // columns)
    figure = card(max(2.9 * columns, 5.2), 2.35 * lines + 0.8)
    panels = figure.subplots(lines, columns, squeeze=False)
    for number, panel in enumerate(panels.flat):
        if number >= len(shown):
            panel.set_visible(False)
            continue
        _funnel_panel(panel, shown[number], campaigns[shown[number]], with_names=number % columns == 0)
    return titled(figure, "Who was reached and who answered", _of_how_many(shown, campaigns, "share of contacted"))


def days_figure(rows: Sequence[StoredMetric], note: str = "all campaigns") -> "Figure":
    """Mails sent above, recipients who replied for the first time below, over all rows given."""
    sums: dict[str, Counter[date]] = defaultdict(Counter)
    for row in rows:
        if row.grain == "day" and row.value:
            sums[row.metric][date.fromisoformat(row.grain_key)] += int(row.value)
    newest = max(max(found) for found in sums.values())
    first = max(min(min(found) for found in sums.values()), newest - timedelta(days=MOST_DAYS - 1))
    days = [first + timedelta(days=number) for number in range((newest - first).days + 1)]
    figure = card(9.6, 4.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    top.bar(days, [sums["messages_sent"][day] for day in days], color="#6d8fc4", width=0.8)
    replies = [sums["replied"][day] for day in days]
    positive = [min(sums["positive"][day], reply) for day, reply in zip(days, replies, strict=True)]
    bottom.bar(days, replies, color="#9db4d6", width=0.8, label="replied")
    bottom.bar(days, positive, color="#2b9a66", width=0.8, label="of them positive")
    for panel, name in ((top, "mails sent"), (bottom, "first replies")):
        panel.set_ylabel(name, color=QUIET)
        panel.yaxis.get_major_locator().set_params(integer=True)
        panel.grid(axis="y", color=GRID)
        panel.margins(x=0.01)
    bottom.legend(loc="upper left", frameon=False, ncols=2, fontsize=9, bbox_to_anchor=(0, 1.22), borderaxespad=0)
    date_axis(bottom)
    return titled(figure, "Mails sent and replies by day", note)


def labels_figure(campaigns: Campaigns) -> "Figure":
    """The newest label of everyone who replied, as shares that add up to 100 %."""
    shown = [slug for slug in _largest(campaigns) if _value(campaigns[slug], "replied")][::-1]
    figure = card(9.6, 0.5 * max(len(shown), 1) + 2.3)
    panel = figure.subplots()
    left = dict.fromkeys(shown, 0.0)
    for label in SHOWN_LABELS:
        shares = [_value(campaigns[slug], f"label_{label.name}") / _value(campaigns[slug], "replied") for slug in shown]
        if any(shares):
            _stack(panel, shown, shares, left, colour=label.colour, title=label.title)
    rest = [max(1 - left[slug], 0.0) for slug in shown]
    if any(share > 1e-9 for share in rest):
        _stack(panel, shown, rest, left, colour="#f1f3f5", title="not judged yet")
    panel.set_yticks(
        range(len(shown)), [f"{_short(slug)}  (n={_value(campaigns[slug], 'replied'):.0f})" for slug in shown]
    )
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    if shown:
        figure.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return titled(figure, "What replies meant", _of_how_many(shown, campaigns, "newest label of each who replied"))


def reply_rate_figure(campaigns: Campaigns) -> "Figure":
    """Reply rate (of delivered) as a point, with its 95 % Wilson interval as a line."""
    shown = _largest(campaigns)[::-1]
    figure = card(9.6, 0.5 * len(shown) + 1.5)
    panel = figure.subplots()
    for place, slug in enumerate(shown):
        over, under = _value(campaigns[slug], "replied"), _value(campaigns[slug], "delivered")
        if not under:
            continue
        low, high = wilson_interval(over, under)
        panel.plot([low, high], [place, place], color="#9db4d6", linewidth=5, solid_capstyle="round")
        panel.plot(over / under, place, "o", color="#3a66ab", markersize=8)
        panel.annotate(
            f"{over / under:.1%}  ({over:.0f} of {under:.0f})", (high, place), xytext=(10, 0),
            textcoords="offset points", va="center", fontsize=9, color=INK,
        )  # fmt: skip
    panel.set_yticks(range(len(shown)), [_short(slug) for slug in shown])
    panel.set_ylim(-0.6, len(shown) - 0.4)
    highest = max(
        (wilson_interval(_value(c, "replied"), _value(c, "delivered"))[1] for c in campaigns.values()),
        default=1,
    )
    panel.set_xlim(0, highest * 1.35)  # room for the words right of the line
    panel.set_xticks([tick for tick in panel.get_xticks() if tick <= 1])  # and no share above the whole
    panel.tick_params(axis="y", pad=10)
    panel.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    panel.grid(axis="x", color=GRID)
    note = "replied of delivered, with 95 % Wilson interval: overlapping lines may be chance"
    return titled(figure, "Reply rate", _of_how_many(shown, campaigns, note))


def _funnel_panel(panel: "Axes", slug: str, values: dict[str, StoredMetric], *, with_names: bool) -> None:
    whole = _value(values, "contacted")
    for place, (key, colour) in enumerate(FUNNEL):
        count = _value(values, key)
        panel.barh(place, count / whole, color=colour, height=0.72)
        words = f"{count:,.0f}" if key == "contacted" else f"{count:,.0f} · {count / whole:.0%}"
        end = (count / whole, place)
        panel.annotate(words, end, xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, color=INK)
    panel.set_title(_short(slug), fontsize=10, color=INK, loc="left")
    panel.set_xlim(0, 1.5)  # room for the words right of the longest bar
    panel.set_xticks([])
    panel.set_yticks(range(len(FUNNEL)), [key for key, _ in FUNNEL] if with_names else [""] * len(FUNNEL))
    panel.invert_yaxis()


def _stack(
    panel: "Axes", shown: list[str], shares: list[float], left: dict[str, float], *, colour: str, title: str
) -> None:
    """One more layer of the stacked bars; its share is written in where there is room for it."""
    panel.barh(range(len(shown)), shares, left=[left[slug] for slug in shown], color=colour, height=0.68, label=title)
    for place, (slug, share) in enumerate(zip(shown, shares, strict=True)):
        if share >= 0.06:
            panel.text(
                left[slug] + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=8,
                color=readable_on(colour),
            )  # fmt: skip
        left[slug] += share


def _largest(campaigns: Campaigns) -> list[str]:
    """Slugs of the campaigns that contacted most, most first."""
    return sorted(campaigns, key=lambda slug: (-_value(campaigns[slug], "contacted"), slug))[:MOST_CAMPAIGNS]


def _of_how_many(shown: Sequence[str], campaigns: Campaigns, note: str) -> str:
    return note if len(shown) == len(campaigns) else f"{note}; {len(shown)} of {len(campaigns)} campaigns"


def _value(values: dict[str, StoredMetric], key: str) -> float:
    row = values.get(key)
    return 0.0 if row is None or row.value is None else row.value


def _short(slug: str) -> str:
    """Long ones lose their middle: campaigns of one client often differ at the end only."""
    return slug if len(slug) <= 24 else f"{slug[:14]}…{slug[-9:]}"
