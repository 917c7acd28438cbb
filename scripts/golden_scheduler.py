#!/usr/bin/env python3
"""Writes tests/data/golden/scheduler_diffusers.txt: trajectories of the Diffusers schedulers.

Each case integrates a small non-linear velocity field (the same formula stands in
tests/golden/scheduler/diffusers_trajectory_test.cc) with one Diffusers scheduler, configured as Wan's
pipelines configure it, and records sigmas, timesteps and the sample after every step.
"""

import argparse
import pathlib

import diffusers
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

CASES = [(steps, shift) for steps in (1, 2, 3, 4, 8, 20, 50) for shift in (1.0, 3.0, 5.0, 12.0)]
START = [1.0, -0.75, 0.3, 2.0, -1.5]


def flow_config(shift):
    return dict(
        num_train_timesteps=1000,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        solver_order=2,
    )


def make(solver, shift):
    if solver == "unipc":
        return UniPCMultistepScheduler(solver_type="bh2", **flow_config(shift))
    if solver == "dpm++":
        return DPMSolverMultistepScheduler(
            algorithm_type="dpmsolver++", solver_type="midpoint", **flow_config(shift)
        )
    return FlowMatchEulerDiscreteScheduler(shift=shift)


def velocity(x, sigma):
    slope = torch.linspace(0.2, 1.0, len(START), dtype=torch.float64)
    return slope * x + 0.3 * torch.sin(x.roll(-1, dims=-1)) - 0.25 * sigma + 0.1


def numbers(values):
    return " ".join(f"{float(v):.17g}" for v in values)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=root / "tests/data/golden/scheduler_diffusers.txt")
    args = parser.parse_args()
    lines = [f"# diffusers {diffusers.__version__}, torch {torch.__version__.split('+')[0]}"]
    for solver in ("unipc", "dpm++", "euler"):
        for steps, shift in CASES:
            scheduler = make(solver, shift)
            scheduler.set_timesteps(steps)
            lines.append(f"case {solver} {steps} {shift:g}")
            lines.append(f"sigmas {numbers(scheduler.sigmas)}")
            lines.append(f"timesteps {numbers(scheduler.timesteps)}")
            x = torch.tensor([START], dtype=torch.float64)  # the schedulers want [B, C]
            lines.append(f"x {numbers(x[0])}")
            for i, t in enumerate(scheduler.timesteps):
                v = velocity(x.double(), float(scheduler.sigmas[i]))
                x = scheduler.step(v, t, x, return_dict=False)[0]
                lines.append(f"x {numbers(x[0])}")
    pathlib.Path(args.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
