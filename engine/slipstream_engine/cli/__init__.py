"""The engine's command line.

serve.py           `slipstream-engine serve`
engine_process.py  what it runs once it is confined
confinement.py     `slipstream-engine sandbox`
inspect.py         `slipstream-engine inspect`
plan.py            `slipstream-engine plan`
rank.py            `slipstream-engine rank`, a further device of an engine
options.py         options that several commands share
progress.py        progress of a long job on a terminal or in a log
"""
