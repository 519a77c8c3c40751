"""The real sizes on a device that has no numbers (`slipstream_engine/account`), and their budgets.

python -m tests.fake_cuda        # write budgets.json anew, after a change that is meant
"""
