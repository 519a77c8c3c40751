"""One model over several devices: `pipeline_partition.py` assigns transformer blocks to ranks."""
