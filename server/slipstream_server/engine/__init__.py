"""The engine process as the server sees it.

supervisor.py: starts the engine, restarts it, kills it when it hangs. client.py: lanes and messages
of a running engine; engine_stream.py: one stream on it. current.py: the client now, or none.
hang_detector.py decides when an engine hangs; watched_channel.py feeds it the channel's messages.
child_process.py: restarting and ending child processes; child_environment.py: what they are given
of the server's environment. output_relay.py: what the engine prints.
"""
