"""What depends on the device.

`memory.py` measures its memory, `transfer.py` copies chunks to it and back, `precision.py` sets the
precision of matrix products, `stage_clock.py` measures how long stages take on it,
`attention_order.py` chooses attention kernels by timing, `convolutions.py` knows which builds of
torch convolve without cuDNN.
"""
