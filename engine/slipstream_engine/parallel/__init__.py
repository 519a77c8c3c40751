"""One model over several devices.

`plan.py` says which rank runs what, `plan_forms.py` builds the usual plans. `planner.py` chooses
one by what parts cost (`model_costs.py`) and what plans give (`plan_estimate.py`), with
`pipeline_partition.py` to assign transformer blocks to ranks.
While streams run `block_scheduler.py` moves blocks (`block_transfers.py`) by what each rank takes
(`rank_speed.py`), and `plan_switch.py` says when their caches go.
Ranks are joined by `process_group.py`; what they send each other goes over `links.py`, as
`message_layouts.py` lays it out.
"""
