"""Plot the results of the benchmarks.

    python benchmarks/plots.py FOLDER docs/explanation/performance.svg

FOLDER contains ``encoding.json``, ``growth.json`` and optionally ``sql.json``, as written by the benchmarks with
``--json``.
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
LINES = (OURS, "#c8553d", "#e0a030")
PARTS_OF_OURS = ("encoder", "full pipeline", "operator's source")


def bars(
    axes: Axes, records: list[dict[str, Any]], key: str, title: str, unit: str, most: float = float("inf")
) -> None:
    """Draw a labelled bar for each candidate. Those of this package are coloured.

    :param most: Value at which longer bars are cut off.
    """
    figures = [record[key] for record in records]
    colours = [OURS if any(part in record["name"] for part in PARTS_OF_OURS) else OTHERS for record in records]
    shown = [min(figure, most) for figure in figures]
    drawn = axes.barh([record["name"] for record in records], shown, color=colours)
    axes.bar_label(drawn, [f"{figure:.1f}" for figure in figures], padding=3)
    axes.set(title=title, xlabel=unit, xlim=(0, max(shown) * 1.12))
    axes.invert_yaxis()


def lines(axes: Axes, records: list[dict[str, Any]], key: str, title: str, unit: str) -> None:
    """Draw a line for each source over the number of rows, labelled with its last value."""
    for source, colour in zip(dict.fromkeys(record["source"] for record in records), LINES, strict=True):
        own = [record for record in records if record["source"] == source]
        figures = [record[key] for record in own]
        axes.plot([record["rows"] / 1e6 for record in own], figures, marker="o", color=colour, label=source)
    axes.set(title=title, xlabel="rows, millions", ylabel=unit, ylim=(0, max(record[key] for record in records) * 1.25))
    axes.legend(frameon=False, loc="center right")


def main() -> None:
    """Write the plot."""
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    heights = (1.6, 1, 1, 1.4) if "sql" in found else (1.6, 1, 1)
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "font.size": 9, "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False, "axes.titlelocation": "left", "svg.fonttype": "none"})
    figure = Figure(figsize=(8, 3 * sum(heights)), layout="constrained")
    above, cpu, memory, *below = figure.subplots(len(heights), height_ratios=heights)
    bars(
        above,
        found["encoding"]["encoding"],
        "times",
        "Columns to batch files",
        "CPU, multiples of writing the same as plain CSV with pyarrow (the bar of the loop is cut off)",
        most=20,
    )
    growth = found["growth"]["growth"]
    lines(cpu, growth, "microseconds", "CPU by number of rows (the operator's dry run)", "CPU, µs per row")
    lines(memory, growth, "peak", "Memory by number of rows", "peak of the process, MiB")
    for axes in below:
        bars(axes, found["sql"]["sql"], "cpu", "Rows from a database", "CPU seconds of the reading process")
    figure.text(0.01, -0.01, f"{found['encoding']['machine']}, a shared virtual machine", color="#777777", fontsize=7)
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    print(f"Written: {target}")


if __name__ == "__main__":
    main()
