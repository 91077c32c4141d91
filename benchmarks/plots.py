"""Draw what the benchmarks found.

    python benchmarks/plots.py FOLDER docs/performance.svg

FOLDER holds ``encoding.json`` and ``sql.json``, as the benchmarks write them with ``--json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS, OTHERS = "#1f6f8b", "#b9c4c9"
PARTS_OF_OURS = ("encoder", "whole walk", "operator's source")


def bars(axes: Axes, records: list[dict[str, Any]], key: str, title: str, unit: str) -> None:
    """Draw one bar for each candidate, those of this package in colour, with its figure at its end."""
    figures = [record[key] for record in records]
    colours = [OURS if any(part in record["name"] for part in PARTS_OF_OURS) else OTHERS for record in records]
    drawn = axes.barh([record["name"] for record in records], figures, color=colours)
    axes.bar_label(drawn, fmt="%.1f", padding=3)
    axes.set(title=title, xlabel=unit, xlim=(0, max(figures) * 1.12))
    axes.invert_yaxis()


def line(axes: Axes, records: list[dict[str, Any]]) -> None:
    """Draw memory over rows."""
    rows, peaks = [record["rows"] / 1e6 for record in records], [record["peak"] for record in records]
    axes.plot(rows, peaks, marker="o", color=OURS)
    for place in zip(rows, peaks, strict=True):
        axes.annotate(f"{place[1]:.0f}", place, textcoords="offset points", xytext=(0, 7), ha="center")
    axes.set(
        title="Memory as rows become more (Parquet, whole walk)",
        xlabel="rows, millions",
        ylabel="peak memory of the process, MiB",
        ylim=(0, max(peaks) * 1.25),
    )


def main() -> None:
    """Write the drawing."""
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    encoding, sql = (json.loads((folder / f"{name}.json").read_text()) for name in ("encoding", "sql"))
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "font.size": 9, "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False, "axes.titlelocation": "left", "svg.fonttype": "none"})
    figure = Figure(figsize=(8, 10.5), layout="constrained")
    above, middle, below = figure.subplots(3, height_ratios=(1, 1.7, 1))
    bars(
        above,
        encoding["encoding"],
        "times",
        "Columns to batch files",
        "CPU, multiples of writing the same as plain CSV",
    )
    bars(middle, sql["sql"], "cpu", "Rows from a database", "CPU seconds of the reading process")
    line(below, encoding["growth"])
    figure.text(0.01, -0.02, encoding["machine"], color="#777777", fontsize=7)
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    print(f"Drawn: {target}")


if __name__ == "__main__":
    main()
