"""The table of `slipstream fleet status`. Pure."""

from slipstream_fleet.fleet_report import FleetReport

_HEADINGS = ("NODE", "MACHINE", "STATE", "STREAMS", "FREE", "VIEWERS", "MODEL", "VERSION")


def status_table(report: FleetReport) -> str:
    """Text for people: a line for each node, and what is to be said of all."""
    rows = [_HEADINGS]
    for node in sorted(report.nodes, key=lambda one: (one.host, one.url)):
        streams = str(node.streams) + (f" ({node.held} held)" if node.held else "")
        rows.append(
            (
                *(node.node, node.host, node.state, streams, str(node.free)),
                *(str(node.viewers), node.model, node.version),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"{node.node}: {node.detail}" for node in report.nodes if node.detail]
    ready = sum(node.state == "ready" for node in report.nodes)
    lines.append(
        f"{ready} of {len(report.nodes)} nodes ready, {report.streams} streams, "
        f"{report.free} places free, {report.waiting} callers wait"
    )
    if len(report.versions) > 1:
        lines.append(f"several versions run: {', '.join(report.versions)}")
    return "\n".join(lines)
