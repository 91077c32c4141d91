"""Bar charts as SVG, without scripts, inline styles or text that shrinks with the drawing."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from airflow_provider_adobe_target.ui.summaries import RESULTS, Day

_HEIGHT = 120
_STEP = 10
_GAP = 2


def rows_per_day(days: Sequence[Day], labels: dict[str, str]) -> Markup:
    """Return stacked bars: the rows sent per day, by result.

    :param days: One entry for each day.
    :param labels: Name of each result, for the tool tips.
    """
    most = max((day.rows_sent for day in days), default=0)
    bars = []
    for index, day in enumerate(days):
        top = float(_HEIGHT)
        for result in RESULTS:
            rows = day.results[result]
            if not rows:
                continue
            height = max(1.0, rows * _HEIGHT / most)
            top = max(0.0, top - height)
            bars.append(_bar(index, top, height, f"r-{result}", f"{day.day}: {labels[result]} {rows:,}"))
    return _drawing(bars, len(days))


def rejected_per_day(days: Sequence[Day]) -> Markup:
    """Return bars: the rows rejected per day."""
    most = max((day.rejected for day in days), default=0)
    bars = []
    for index, day in enumerate(days):
        if day.rejected:
            height = max(1.0, day.rejected * _HEIGHT / most)
            bars.append(_bar(index, _HEIGHT - height, height, "r-rejected", f"{day.day}: {day.rejected:,}"))
    return _drawing(bars, len(days))


def _bar(index: int, top: float, height: float, css_class: str, title: str) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"><title>{}</title></rect>').format(
        css_class, index * _STEP + _GAP / 2, top, _STEP - _GAP, height, title
    )


def _drawing(bars: Sequence[Markup], count: int) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">{}</svg>'
    ).format(max(1, count) * _STEP, _HEIGHT, Markup("").join(bars))
