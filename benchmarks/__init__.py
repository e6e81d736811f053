"""Benchmarks: ratios measured inside one run, written as JSON."""
