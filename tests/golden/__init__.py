"""Replay of the golden vectors: the reference's computations with our code.

`python -m tests.golden [DIR]` prints one line a case. Each family has a file with one pure function
`replay(case) -> Replay`; `families.py` lists them.
"""
