"""The table of budgets: what each case may launch, move and hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from slipstream_engine.account.measure import DeviceAccount

BUDGETS_FILE = Path(__file__).parent / "budgets.json"
MB = 10**6
# what is saved must be written down, or it would be lost again unseen
SLACK = 0.05

Budget = dict[str, int]


def budget_of(account: DeviceAccount) -> Budget:
    """Launches, megabytes moved and megabytes held, by stage and by part of the memory."""
    budget: Budget = {}
    for name, cost in account.stages.items():
        budget[f"{name}: launches"] = cost.launches
        budget[f"{name}: MB moved"] = -(-cost.moved_bytes // MB)
        budget[f"{name}: peak MB"] = -(-cost.peak_bytes // MB)
    for part, size_bytes in asdict(account.memory).items():
        budget[f"memory: {part.removesuffix('_bytes')} MB"] = -(-size_bytes // MB)
    return budget


def read_budgets() -> dict[str, Budget]:
    """The table in the repository."""
    budgets: dict[str, Budget] = json.loads(BUDGETS_FILE.read_text())
    return budgets


def budgets_json(accounts: Mapping[str, DeviceAccount]) -> str:
    """The table of these accounts."""
    return json.dumps({name: budget_of(each) for name, each in accounts.items()}, indent=1) + "\n"


def breaches(counted: Budget, budget: Budget) -> list[str]:
    """What is above its budget, or so far below that the budget says nothing any more."""
    found = [name for name in {**counted, **budget} if (name in counted) != (name in budget)]
    for name in counted.keys() & budget.keys():
        number, most = counted[name], budget[name]
        if number > most or number < (1 - SLACK) * most - 1:
            found.append(f"{name} is {number}, its budget {most}")
    return sorted(found)
