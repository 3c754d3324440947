"""Pictures: there where there is something to show, small enough for metadata, and no text upon another."""

import base64
from collections.abc import Sequence
from datetime import timedelta

import pytest

from cheerful_pipelines.classification.labels.table import SHOWN_LABELS
from cheerful_pipelines.metrics.counting.compute import Timing
from cheerful_pipelines.metrics.counting.intervals import wilson_interval
from cheerful_pipelines.metrics.models import Grain, StoredMetric
from cheerful_pipelines.metrics.report.campaign_plots import campaign_plots, curve, funnel, labels
from cheerful_pipelines.metrics.report.campaign_plots import senders as senders_figure
from cheerful_pipelines.metrics.report.plot_style import LARGEST_PICTURE_BYTES
from cheerful_pipelines.metrics.report.plots import (
    days_figure,
    funnel_figure,
    labels_figure,
    portfolio_plots,
    reply_rate_figure,
)
from cheerful_pipelines.metrics.report.tables import by_campaign
from cheerful_pipelines_tests.builders import START


def _row(slug: str, grain: Grain, key: str, metric: str, value: float) -> StoredMetric:
    return StoredMetric(
        campaign_slug=slug, campaign_name=slug, computed_at=START, grain=grain, grain_key=key, metric=metric,
        value=value, is_additive=True, definition_version="1",
    )  # fmt: skip


def _portfolio(campaigns: int) -> list[StoredMetric]:
    rows = []
    for number in range(campaigns):
        slug = f"a-client-with-a-rather-long-name-{number}"
        counts = {"contacted": 100, "delivered": 95, "replied": 9 * number % 95, "positive": number}
        shares = [(label.name, place % 3) for place, label in enumerate(SHOWN_LABELS)]
        labels = {f"label_{name}": counts["replied"] * share // 14 for name, share in shares}
        rows += [_row(slug, "campaign", "", key, value) for key, value in (counts | labels).items()]
        for day in range(1, 29):
            rows.append(_row(slug, "day", f"2026-10-{day:02d}", "messages_sent", day % 7))
            rows.append(_row(slug, "day", f"2026-10-{day:02d}", "replied", day % 3))
    return rows


def test_a_portfolio_without_mail_has_no_pictures() -> None:
    assert portfolio_plots([_row("spring", "campaign", "", "contacted", 0)]) == {}


@pytest.mark.parametrize("campaigns", [1, 3, 12])
def test_every_picture_is_a_small_png(campaigns: int) -> None:
    pictures = portfolio_plots(_portfolio(campaigns))

    assert set(pictures) == {"funnels", "days", "labels", "reply_rates"}
    for markdown in pictures.values():
        image = base64.b64decode(markdown.rpartition("base64,")[2].rstrip(")"))
        assert image.startswith(b"\x89PNG")
        assert len(image) <= LARGEST_PICTURE_BYTES


@pytest.mark.parametrize("campaigns", [1, 3, 12])
def test_no_text_lies_upon_another(campaigns: int) -> None:
    rows = _portfolio(campaigns)
    figures = [draw(by_campaign(rows)) for draw in (funnel_figure, labels_figure, reply_rate_figure)]
    for figure in [*figures, days_figure(rows)]:
        figure.canvas.draw()
        assert _overlaps(_text_boxes(figure)) == []


def test_the_wilson_interval_is_the_published_one() -> None:
    """Newcombe 1998, table I: 15 of 148 gives 0.0624 to 0.1605."""
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson_interval(0, 20)[0] == 0
    assert wilson_interval(0, 0) == (0, 1)


def _text_boxes(figure: object) -> list[tuple[str, object]]:
    """Every text that can be seen, with its place; ticks outside their axis are kept by matplotlib, but not drawn."""
    from matplotlib.text import Text

    unseen = {id(figure._suptitle)}  # type: ignore[attr-defined]  # its second line is the note's place
    for panel in figure.axes:  # type: ignore[attr-defined]
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            unseen |= {id(t.label1) for t in axis.get_major_ticks() if not low <= t.get_loc() <= high}
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]  # type: ignore[attr-defined]
    return [(text.get_text(), text.get_window_extent()) for text in shown if id(text) not in unseen]


def _overlaps(boxes: Sequence[tuple[str, object]]) -> list[tuple[str, str]]:
    return [
        (left, right)
        for place, (left, box) in enumerate(boxes)
        for right, other in boxes[place + 1 :]
        if box.overlaps(other)  # type: ignore[attr-defined]
    ]


def _campaign(senders: int, delivered: int) -> tuple[list[StoredMetric], list[Timing]]:
    """One campaign whose last mails are a day old."""
    counts = {
        "recipients": delivered + 9, "contacted": delivered + 5, "delivered": delivered,
        "replied": delivered // 3, "positive": delivered // 9,
    }  # fmt: skip
    labels = {f"label_{label.name}": delivered // 40 + place % 2 for place, label in enumerate(SHOWN_LABELS)}
    rows = [_row("spring", "campaign", "", key, value) for key, value in (counts | labels).items()]
    for number in range(senders):
        alias = f"a-sender-with-a-long-alias-{number}"
        parts = {"contacted": 50, "delivered": 47, "hard_bounced": number % 4, "opted_out_delivered": 1, "replied": 9}
        rows += [_row("spring", "sender", alias, key, value) for key, value in parts.items()]
    for day in range(1, 29):
        rows.append(_row("spring", "day", f"2026-10-{day:02d}", "messages_sent", day % 7))
        rows.append(_row("spring", "day", f"2026-10-{day:02d}", "replied", day % 3))
    timings = [
        Timing(
            "mia", "2026-W40", START + timedelta(hours=number),
            START + timedelta(hours=number * 1.5 + 1) if number % 3 == 0 else None, True, None, (),
        )
        for number in range(delivered)
    ]  # fmt: skip
    return rows, timings


@pytest.mark.parametrize(("senders", "delivered"), [(1, 3), (2, 90), (30, 600)])
def test_the_pictures_of_a_campaign_are_small_and_readable(senders: int, delivered: int) -> None:
    rows, timings = _campaign(senders, delivered)
    known_at = START + timedelta(hours=delivered + 24)
    whole = {row.metric: row.value or 0.0 for row in rows if row.grain == "campaign"}

    pictures = campaign_plots(rows, timings, known_at)

    assert set(pictures) == {"funnel", "reply_curve", "days", "labels", "sender_health"}
    for markdown in pictures.values():
        assert len(base64.b64decode(markdown.rpartition("base64,")[2].rstrip(")"))) <= LARGEST_PICTURE_BYTES
    for figure in (funnel(whole), curve(timings, known_at), labels(whole), senders_figure(rows)):
        figure.canvas.draw()
        assert _overlaps(_text_boxes(figure)) == []


def test_a_campaign_without_mail_has_no_pictures() -> None:
    assert campaign_plots([_row("spring", "campaign", "", "contacted", 0)], [], START) == {}
