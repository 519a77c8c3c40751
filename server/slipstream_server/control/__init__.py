"""The data channel: parameter updates in, typed events out.

parameter_channel.py  answers the messages of one page (pure)
incoming.py           parses them (pure)
update_queue.py       updates on their way to the engine (pure)
events.py             the types of all messages but one; slo_event.py, of that one
"""
