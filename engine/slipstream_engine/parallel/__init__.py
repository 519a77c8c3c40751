"""One model over several devices.

`plan.py` says which rank runs what, `plan_forms.py` builds the usual plans. `planner.py` chooses
one by what parts cost (`model_costs.py`) and what plans give (`plan_estimate.py`), with
`pipeline_partition.py` to assign transformer blocks to ranks.
`block_scheduler.py` decides by what each rank takes (`rank_speed.py`) which blocks are to move
while streams run (`block_transfers.py`), and `plan_switch.py` when their caches go.
Ranks are joined by `process_group.py`; what they send each other goes over `links.py`, one for each
`message_flow.py`, as `message_layouts.py` lays it out. `link_times.py` measures what that takes
between two devices.
"""
