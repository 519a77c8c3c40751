"""The rolling KV cache of the transformer's self-attention.

`rolling_cache.py` holds keys and values and is written by every forward pass, `positions.py` says
where a chunk stands in its row, `eviction.py` chooses what a full row overwrites,
`row_budget.py` how many rows a stream gets.
"""
