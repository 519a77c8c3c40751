"""Writes the budgets: see the package."""

from tests.fake_cuda.budgets import BUDGETS_FILE, budgets_json
from tests.fake_cuda.cases import CASES, account_of

if __name__ == "__main__":
    BUDGETS_FILE.write_text(budgets_json({name: account_of(name) for name in CASES}))
