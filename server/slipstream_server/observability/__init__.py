"""What is measured: service levels, client statistics, Prometheus."""
