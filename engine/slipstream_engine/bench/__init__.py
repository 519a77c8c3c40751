"""`slipstream-engine bench`: how fast a pipeline is.

command.py           the command, and the grid of its cases
runner.py            measures one case
serving_runner.py    the same under the engine's loop, with clients on every lane
ranks.py             `bench --devices`: a model over several devices
workload.py          input frames, duration, record of a chunk
flops.py             floating-point operations of a chunk
report.py            the figures as JSON and as a table
"""
