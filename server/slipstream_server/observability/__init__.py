"""Measurements.

* `slo.py`: service levels of one stream, computed; `slo_report.py`: targets, milestones, reports.
* `judged_age.py`: by which age a stream is judged; `shown_rate.py`: the share of due frames that
  is shown; `first_frames.py`: first frames in time;
  `sliding_window.py`: the last ten seconds; `error_budget.py`: what of the allowed errors is left.
* `slo_metrics.py`: verdicts and error budgets of the server for Prometheus and /health.
* `frame_trace.py`: the way of each frame for a while, as a file; `frame_stages.py`: where a
  frame's time went; `client_stats.py`: what a viewer's browser reports.
* `metrics.py`: all streams for Prometheus; `media_metrics.py`: what is sent, received and shown;
  `http_metrics.py`: connections and refusals; `process_metrics.py`: the process and the engine.
* `exposition.py`: Prometheus' text, with deprecated names.
"""
