"""A fleet's days without a fleet: what placing, moving and scaling cost, and whom they keep
waiting. Pure.

scenario.py: the day that is simulated, and its calls; policies.py: who decides how; simulator.py:
the events; fleet_run.py: what came of it, and the table of it.
"""
