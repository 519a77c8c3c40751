"""weights/registry.py: which files a preset needs."""

from dataclasses import replace

import pytest
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.registry import GENERATORS, files_of


def test_every_preset_with_weights_to_pull_has_its_files() -> None:
    """a preset is embedded, or its transformer, codec and text encoder are registered."""
    pulled = {name for name, preset in PRESETS.items() if not preset.embedded}
    assert pulled == set(GENERATORS)
    for name in pulled:
        assert GENERATORS[name] in files_of(PRESETS[name])


def test_a_preset_without_weights_says_where_to_add_them() -> None:
    """the error names the preset, the file and the table."""
    preset = replace(PRESETS["wan-1.3b"], name="mine")
    with pytest.raises(ValueError, match=r"preset mine has no weights in weights/registry.py"):
        files_of(preset)
