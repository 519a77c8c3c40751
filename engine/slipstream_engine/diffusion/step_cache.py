"""A stream's KV cache: row i holds what denoising step i has written.

Each step has a row of its own, because keys and values depend on the noise level they were
computed at. Two cases need care:

- The first chunk of an epoch runs all its steps in row 0, and every row begins as a copy of that.
- The number of steps may change between chunks. A step that did not run for the chunk before has
  an empty or stale row, so it takes over a copy of the row of the last step that did run. Those
  keys were computed at a higher noise level than its own, as those in all rows' first slots are;
  the ring replaces them in time.
"""

from slipstream_engine.kv_cache.rolling_cache import RollingCache


class StepCache:
    """The rows of one stream, and how many of them are up to date.

    Call `begin_chunk` before a chunk's first step. For the first chunk of an epoch call
    `end_first_chunk` after its last one instead.

    Args:
        cache: one row for each step the model may run.
    """

    def __init__(self, cache: RollingCache) -> None:
        self.cache = cache
        self._current_rows = 0  # how many rows, from the first on, hold the chunk before

    def row(self, number: int) -> RollingCache:
        """One row as a cache of its own, on the same memory."""
        return self.cache.rows(number, number + 1)

    def reset(self) -> None:
        """Empty all rows: an epoch begins."""
        self.cache.reset()
        self._current_rows = 0

    def begin_chunk(self, steps: int) -> None:
        """Bring the rows of a chunk of so many steps up to date."""
        for row in range(self._current_rows, steps):
            self.cache.copy_row(self._current_rows - 1, row)
        self._current_rows = steps

    def end_first_chunk(self, steps: int) -> None:
        """Make every row a copy of row 0, in which the first chunk has run its steps."""
        for row in range(1, self.cache.row_count):
            self.cache.copy_row(0, row)
        self._current_rows = steps
