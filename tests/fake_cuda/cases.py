"""The configurations that are counted; each is run once in a process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from slipstream_engine.account.measure import BlockCost, DeviceAccount, account, block_cost
from slipstream_engine.config import Compilation, EngineConfig
from slipstream_engine.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class CountedCase:
    """A preset with a codec, recorded or not."""

    preset: str
    codec: str
    compilation: Compilation = Compilation.GRAPH

    @property
    def config(self) -> EngineConfig:
        preset = replace(PRESETS[self.preset], codec=self.codec)
        return EngineConfig(preset=preset, dtype="bfloat16", compilation=self.compilation)


CASES: Mapping[str, CountedCase] = {
    "wan-1.3b taehv": CountedCase(preset="wan-1.3b", codec="taehv"),
    "wan-1.3b taehv eager": CountedCase(
        preset="wan-1.3b", codec="taehv", compilation=Compilation.NONE
    ),
    "wan-1.3b wan": CountedCase(preset="wan-1.3b", codec="wan"),
    "wan-1.3b wan+taehv": CountedCase(preset="wan-1.3b", codec="wan+taehv"),
    "wan-14b wan": CountedCase(preset="wan-14b", codec="wan"),
}


@cache
def account_of(name: str) -> DeviceAccount:
    """The account of a case."""
    case = CASES[name]
    return account(case.config, _block(case.preset))


@cache
def _block(preset: str) -> BlockCost:
    """A block costs the same recorded or not."""
    return block_cost(CountedCase(preset=preset, codec="taehv").config)
