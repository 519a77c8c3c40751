"""Replay of the golden vectors: every computation of the reference, with our code, within the tolerance it gives.

`python -m tests.golden [DIR]` prints one line a case. Each family has a file with one pure function
`replay(case) -> Replay`; `families.py` lists them.
"""
