"""The command `slipstream`: `serve`, the default, `ready`, `doctor`,
`probe`, `trace`, and `fleet`, which is another package's.

Settings are read from os.environ nowhere else. Each command's modules are imported only when it is
run: `doctor` must work where a package that `serve` needs is broken.
"""

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "doctor":
        from slipstream_server.doctor.command import doctor

        return doctor(rest, os.environ)
    if command == "probe":
        from slipstream_server.probe.command import probe

        return probe(rest, os.environ)
    if command == "trace":
        from slipstream_server.trace import trace_command

        return trace_command(rest, os.environ)
    if command == "fleet":
        from slipstream_fleet.command import fleet_command

        return fleet_command(rest, os.environ)
    if command == "ready":
        from slipstream_server.ready import ready_command

        return ready_command(rest, os.environ)
    from slipstream_server.serve import serve_command

    return serve_command(rest if command == "serve" else arguments, os.environ)


if __name__ == "__main__":
    sys.exit(main())
