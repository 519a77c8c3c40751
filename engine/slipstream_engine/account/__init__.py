"""What a preset costs on a GPU, counted on one that is not there: launches, bytes, FLOPs, memory.

fake_device.py     tensors of `cuda:0` that have shapes and no numbers, on any build of torch
cost_counter.py    looks at every operation: what it costs, and what is wrong with it
measure.py         runs a pipeline there, stage by stage
memory_plan.py     which streams fit in a GPU
command.py         `slipstream-engine account`
"""
