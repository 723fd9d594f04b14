"""Measurements of the bridge on one machine: run `python -m benchmarks`."""
