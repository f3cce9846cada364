"""What load, hostile inputs and faults do to the demo; `benchmarks.check_demo` prints it."""
