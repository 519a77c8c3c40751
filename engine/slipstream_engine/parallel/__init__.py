"""One model over several devices.

`plan.py` says which rank runs what, `plan_forms.py` builds the usual plans, `pipeline_partition.py`
assigns transformer blocks to ranks by measured times.
"""
