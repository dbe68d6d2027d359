"""The governor on a device that heats up, against an oracle that knows its heat and switches unseen.

    python benchmarks/bench_governor.py [--seeds 3] [--plot governor.png]

Each scenario lasts 20 minutes at 60 frames per second, on a clock of its own (`sdk/tests/thermal_device.py`
says how frames take their time). "visible" are switches without a scene cut, faded ones included. Quality is
the mean over all frames, late ones counting as the conventional filter, as a share of the oracle's: in dB
over bicubic of the shipped tiers, and on a scale where every rung is worth as much. Shown is the worst seed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk" / "tests"))

from thermal_device import LADDER, SCENARIOS, Result, simulate

TARGET = "targets: at most 0.5 % late, 1 visible switch per minute, 90 % of the oracle's quality in dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    args = parser.parse_args()
    print(
        f"{'scenario':36} {'late':>7} {'at cut':>6} {'faded':>6} {'at once':>7} {'visible':>8} {'dB':>7} even"
    )
    shown: dict[str, Result] = {}
    for scenario in SCENARIOS:
        results = [simulate(scenario, seed) for seed in range(args.seeds)]
        shown[scenario.name] = results[0]
        print(
            f"{scenario.name:36} {max(r.late_share for r in results):7.3%} "
            f"{max(r.at_cut for r in results):6} {max(r.faded for r in results):6} "
            f"{max(r.at_once for r in results):7} {max(r.visible_per_minute for r in results):5.2f}/min "
            f"{min(r.quality_db / r.oracle_db for r in results):7.1%} "
            f"{min(r.quality / r.oracle for r in results):.1%}"
        )
    print(TARGET)
    if args.plot:
        plot(shown, args.plot)


def plot(results: dict[str, Result], path: Path) -> None:
    """Rungs over time, the governor's and the oracle's, with the device's headroom."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(results), sharex=True, figsize=(9, 1.7 * len(results)), layout="constrained"
    )
    names = [rung.name for rung in LADDER]
    for axis, (name, result) in zip(axes, results.items()):
        seconds, rungs, oracle, headroom = zip(*result.timeline)
        axis.step(seconds, oracle, color="0.75", linewidth=4, label="oracle")
        axis.step(seconds, rungs, color="tab:blue", label="governor")
        axis.set(title=name, yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
        heat = axis.twinx()
        heat.plot(seconds, headroom, color="tab:red", linewidth=0.8)
        heat.set(ylim=(0.4, 1.05), ylabel="headroom")
    axes[0].legend(loc="lower right")
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
