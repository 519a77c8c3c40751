"""Lets Triton's interpreter run the kernels where there is no GPU.

Triton settles that when it is first imported, which no test file does while it is collected.
"""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
