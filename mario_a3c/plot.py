"""Learning curves as a picture: ``python -m mario_a3c.plot RUN...``.

Each RUN is a run's folder, whose event files are read, or a CSV file with the columns ``step`` and
``value``. Runs of one task, algorithm and preset are drawn as one curve: their mean, and the spread
between the lowest and the highest. What was measured lies thin behind it. No display is needed.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import tyro
from numpy.typing import NDArray

from mario_a3c.config import RunConfig
from mario_a3c.presets import settings_for

POINTS = 400
"""Places at which curves are compared."""
FORMATS = (".png", ".svg", ".pdf")


class PlotError(ValueError):
    """Curves that cannot be drawn, told in one sentence."""


@dataclass(frozen=True)
class PlotOptions:
    """Draw learning curves."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or CSV files with the columns step and value."""
    output: Annotated[Path, tyro.conf.arg(aliases=("-o",))] = Path("curves.png")
    """The picture: .png, .svg or .pdf."""
    value: str = "episode/return"
    """What is drawn, by its name in TensorBoard."""
    smoothing: float = 0.9
    """Weight of the past in the moving average: 0 for none, below 1."""
    goal: float | None = None
    """Draw a line at this height."""


@dataclass(frozen=True)
class Curve:
    """What one run measured.

    Attributes:
        label: its task.
        steps: ``[N]``, ascending.
        values: ``[N]``.
    """

    label: str
    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def moving_average(values: NDArray[np.float64], smoothing: float) -> NDArray[np.float64]:
    """Return the running average in which the past has the weight ``smoothing``, ``[N]``.

    It begins with the first value, as the reward curve of the classic A3C tutorials does with a
    weight of 0.99.
    """
    averages = np.empty_like(values)
    average = values[0] if len(values) else 0.0
    for index, value in enumerate(values):
        average = smoothing * average + (1 - smoothing) * value
        averages[index] = average
    return averages


def read_curve(path: Path, name: str) -> Curve:
    """Read one run.

    Args:
        path: a run's folder, or a CSV file.
        name: of the values in the run's event files; a CSV file has only one kind.

    Raises:
        PlotError: there is nothing to read there.
    """
    if path.is_file():
        points = _points_of_csv(path)
        label = path.stem
    elif path.is_dir():
        points = _points_of_events(path, name)
        label = _kind_of(path)
    else:
        raise PlotError(f"There is no run {path}.")
    if not points:
        raise PlotError(f"{path} holds no {name!r}.")
    steps, values = (
        np.array(column, dtype=np.float64) for column in zip(*sorted(points), strict=True)
    )
    return Curve(label, steps, values)


def _points_of_csv(path: Path) -> list[tuple[float, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [(float(row["step"]), float(row["value"])) for row in csv.DictReader(file)]
        except (KeyError, TypeError, ValueError) as error:
            raise PlotError(f"{path} must have numbers in the columns step and value.") from error


def _points_of_events(folder: Path, name: str) -> list[tuple[float, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    if name not in events.Tags()["scalars"]:
        return []
    return [(event.step, event.value) for event in events.Scalars(name)]


def _kind_of(folder: Path) -> str:
    """Return what runs that are drawn together have in common: task, algorithm and preset."""
    try:
        config = RunConfig.from_dict(json.loads((folder / "config.json").read_text("utf-8")))
        usual, _ = settings_for(dataclasses.replace(config, preset=""))
    except (OSError, ValueError, TypeError):
        return folder.name
    kind = config.task
    if config.algorithm != RunConfig.algorithm:
        kind += f", {config.algorithm}"
    return kind if config.preset in ("", usual) else f"{kind}, {config.preset}"


def draw(curves: Sequence[Curve], options: PlotOptions) -> None:
    """Draw curves into ``options.output``.

    Raises:
        PlotError: for a kind of picture that is not known.
        OSError: the picture cannot be written.
    """
    if options.output.suffix not in FORMATS:
        raise PlotError(f"--output {options.output} must end in {', '.join(FORMATS)}.")
    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    groups: dict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        groups[curve.label].append(curve)
    for index, (label, group) in enumerate(groups.items()):
        colour = f"C{index}"
        for curve in group:
            axes.plot(curve.steps, curve.values, color=colour, alpha=0.2, linewidth=0.7)
        steps, together = on_common_steps(group, options.smoothing)
        if len(group) > 1:
            label = f"{label} ({len(group)} runs)"
            lowest, highest = together.min(0), together.max(0)
            axes.fill_between(steps, lowest, highest, color=colour, alpha=0.2, linewidth=0)
        axes.plot(steps, together.mean(0), color=colour, linewidth=2, label=label)
    if options.goal is not None:
        axes.axhline(options.goal, color="grey", linestyle="--", linewidth=1)
    axes.set_xlabel("agent steps")
    axes.set_ylabel(options.value)
    axes.grid(alpha=0.3)
    axes.legend()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=150)
    pyplot.close(figure)


def on_common_steps(
    curves: Sequence[Curve], smoothing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``[P]`` steps that all curves cover and their moving averages there, ``[R, P]``."""
    first = max(curve.steps[0] for curve in curves)
    last = max(first, min(curve.steps[-1] for curve in curves))
    steps = np.linspace(first, last, POINTS)
    averages = [
        np.interp(steps, curve.steps, moving_average(curve.values, smoothing)) for curve in curves
    ]
    return steps, np.stack(averages)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; return the exit status: 0, or 2 for bad input."""
    options = tyro.cli(PlotOptions, args=arguments, prog="python -m mario_a3c.plot")
    try:
        if not 0 <= options.smoothing < 1:
            raise PlotError(f"--smoothing {options.smoothing} is not allowed: give 0 to below 1.")
        draw([read_curve(path, options.value) for path in options.runs], options)
    except (PlotError, OSError) as error:
        print(f"plot: {error}", file=sys.stderr)
        return 2
    print(f"Drew {options.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
