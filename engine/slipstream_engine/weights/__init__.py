"""Which weights a preset needs, and how they become a loaded model.

request.py       what a user asks for
factory.py       from a request to a configuration and a pipeline
group.py         the same over several devices
plan_choice.py   which of them runs what
block_moves.py   whether blocks move between them while streams run
share.py         what one of these needs of a model
bundle.py        the models of a configuration
wan.py           the bundle of a real preset, from a folder of pulled weights
embedded.py      the bundle of the embedded preset, from the package
random.py        a bundle with random weights
registry.py      the files of each preset, and where they are published
least_memory.py  the least that a preset takes of its device
download.py      `slipstream-engine pull`
"""
