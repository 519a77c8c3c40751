"""Calls spread over several media worker processes behind one front process.

The front: front_api.py answers or proxies requests (http_proxy.py), front.py finds the worker for
each (placement.py), pool.py runs the workers, status_requests.py matches statuses to requests,
engine_router.py and lane_table.py share the engine among them. A worker process: worker.py and
remote_engine.py. protocol.py: every message between front and worker.
"""
