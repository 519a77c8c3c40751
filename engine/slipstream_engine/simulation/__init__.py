"""The scheduler on simulated devices. Pure but for its command.

`simulator.py` is the heap of events; it drives the scheduler's own code. `camera.py` and
`service_time.py` are what it is driven with, `trace.py` what happened and the figures of it.
`scenario.py` names devices and scenarios, `baseline_policies.py` what the scheduler is compared
with. `rank_scaling.py` serves one stream over several devices, `rank_report.py` shows what came
out. `command.py` is the command `simulate`.
"""
