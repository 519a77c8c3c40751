"""Measurements.

* `slo.py`: service levels of one stream, computed; `slo_report.py`: targets, milestones, reports.
* `client_stats.py`: what a viewer's browser reports.
* `metrics.py`: all streams for Prometheus; `media_metrics.py`: what is sent, received and shown;
  `process_metrics.py`: the process, the engine and the front.
* `exposition.py`: Prometheus' text, with deprecated names.
"""
