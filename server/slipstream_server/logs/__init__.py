"""The log: nothing that writes to it ever waits.

line_buffer.py: the lines that wait to be written. writer.py: the thread that writes them.
formats.py: how a record becomes a line, as text or as JSON. set_up.py: all of it put together for
this process. engine_output.py: what the engine prints, within bounds.
"""
