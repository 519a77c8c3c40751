"""What only a CUDA device can show.

make gpu-report            # all of it, in less than nine minutes, without pytest
"""
