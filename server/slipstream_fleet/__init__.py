"""Many servers as one: calls are shared out among nodes, and move when one of them leaves.

The package may use the server's public parts; the server knows nothing of it. Ray is imported in
ray_app.py and local_run.py alone, starlette in asgi.py.

command.py            `slipstream fleet`; status_table.py: its table (pure); local_run.py runs Ray
fleet_config.py       a fleet's settings (pure)
ray_app.py            nodes and gate as Serve deployments
node_process.py       a node's server as a child process
asgi.py               the gate as an ASGI application
gate.py               which request goes where, gate_request.py (pure); the hard decisions are in
    routes.py             the table of routes (pure)
    placement.py          free places, and who was promised them (pure)
    node_table.py         which node has which stream (pure)
    session_addresses.py  sessions that name their node (pure)
    forwarding.py         headers of what is passed on (pure)
new_streams.py        places for new streams, in turn; all_nodes.py: lists and recordings, of which
                      each node has a part; passing_on.py: requests to nodes, and back
caller_check.py       what a caller's token is good for
answers.py            the gate's own errors
fleet_api.py          the fleet's health and nodes over HTTP, as fleet_report.py has them (pure);
                      fleet_metrics.py: for Prometheus
watch.py              asks nodes for their reports; node_client.py: over HTTP
scaling.py            how many nodes there should be (pure)
simulation/           what such rules cost, and whom they keep waiting (pure)
"""
