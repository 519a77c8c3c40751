"""Family a: the sigma table, its lookup, and the way between noise and picture."""

import torch
from slipstream_engine.schedule import add_noise, flow_between, follow, nearest, sigma_table

from tests.golden.case import Case, Replay

TRAINING_ONLY = "a weight of the training loss, which nothing here uses"


def replay(case: Case) -> Replay:
    config = case.config
    sigmas = sigma_table(
        shift=config["shift"],
        entries=config["num_inference_steps"],
        sigma_min=config["sigma_min"],
        drops_last=config["extra_one_step"],
    )
    at = nearest(sigmas, case.tensor("in.timestep"))
    sigma = sigmas[at][:, None, None, None]
    following = torch.cat([sigmas, torch.zeros(1)])[at + 1]
    # one row at the end of the table sends all rows to the end
    following = torch.zeros_like(following) if (at == len(sigmas) - 1).any() else following
    clean, noise, flow = (case.tensor(f"in.{name}") for name in ("x0", "noise", "flow"))
    x = add_noise(clean, noise, sigma)
    lookup = nearest(sigmas, case.tensor("in.lookup_timesteps"))
    tensors = {
        "out.sigmas": sigmas,
        "out.timesteps": 1000 * sigmas,
        "out.lookup_index_f32": lookup,
        "out.lookup_index_f64": nearest(sigmas.double(), case.tensor("in.lookup_timesteps")),
        "out.lookup_sigma": sigmas[lookup],
        "out.add_noise": x,
        "out.flow_to_x0": follow(x, flow, sigma),
        "out.x0_to_flow": flow_between(x, clean, sigma),
        "out.step": follow(x, flow, sigma, following[:, None, None, None]),
        "out.step_to_final": follow(x, flow, sigma),
    }
    if "warp_list" in config:
        ends_at_zero = torch.cat([1000 * sigmas, torch.zeros(1)])
        tensors["out.warped_denoising_steps"] = ends_at_zero[
            1000 - torch.tensor(config["warp_list"])
        ]
    return Replay(tensors=tensors, left_out={"out.linear_timesteps_weights": TRAINING_ONLY})
