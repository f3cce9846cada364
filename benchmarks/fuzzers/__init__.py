"""What `python -m benchmarks fuzz` damages, one module for each kind of thing."""
