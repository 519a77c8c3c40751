"""Family a: the sigma table, its lookup, and steps between noise and picture."""

import torch
from slipstream_engine.diffusion.flow_matching import (
    TIMESTEPS,
    add_noise,
    follow,
    nearest,
    sigma_table,
)

from tests.golden.case import Case, Replay

LOSS_WEIGHTS = "weights of the reference's training loss, which nothing here uses"
FLOW_TARGET = "the target of the reference's training loss, which nothing here uses"


def replay(case: Case) -> Replay:
    config = case.config
    sigmas = sigma_table(
        shift=config["shift"],
        entries=config["num_inference_steps"],
        sigma_min=config["sigma_min"],
        strength=config.get("denoising_strength", 1.0),
        drops_last=config["extra_one_step"],
    )
    table = TIMESTEPS * sigmas
    at = nearest(table, case.tensor("in.timestep"))
    sigma = sigmas[at][:, None, None, None]
    # the reference converts flows in float64 throughout, where a tie may fall the other way
    exact_at = nearest(table.double(), case.tensor("in.timestep"))
    exact_sigma = sigmas[exact_at][:, None, None, None]
    following = torch.cat([sigmas, torch.zeros(1)])[at + 1]
    # one row at the end of the table sends all rows to the end
    following = torch.zeros_like(following) if (at == len(sigmas) - 1).any() else following
    clean, noise, flow = (case.tensor(f"in.{name}") for name in ("x0", "noise", "flow"))
    x = add_noise(clean, noise, sigma)
    lookup = nearest(table, case.tensor("in.lookup_timesteps"))
    tensors = {
        "out.sigmas": sigmas,
        "out.timesteps": table,
        "out.lookup_index_f32": lookup,
        "out.lookup_index_f64": nearest(table.double(), case.tensor("in.lookup_timesteps")),
        "out.lookup_sigma": sigmas[lookup],
        "out.add_noise": x,
        "out.flow_to_x0": follow(x, flow, exact_sigma),
        "out.step": follow(x, flow, sigma, following[:, None, None, None]),
        "out.step_to_final": follow(x, flow, sigma),
    }
    if "warp_list" in config:
        ends_at_zero = torch.cat([table, torch.zeros(1)])
        tensors["out.warped_denoising_steps"] = ends_at_zero[
            1000 - torch.tensor(config["warp_list"])
        ]
    return Replay(
        tensors=tensors,
        left_out={"out.linear_timesteps_weights": LOSS_WEIGHTS, "out.x0_to_flow": FLOW_TARGET},
    )
