"""What the benchmarks compute and write."""
