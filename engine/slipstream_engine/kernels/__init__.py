"""What the transformer does between its matrix products, fused: one launch in place of many.

`operators.py` registers each as an operator of torch: for CUDA the kernels of `triton_kernels.py`,
for every other device the plain forms of `plain_forms.py`, which say what it computes.
`sink_rule.py` is what they know of the adaptive sinks, `availability.py` says whether the kernels
can be used. Only `triton_kernels.py` imports Triton.
"""
