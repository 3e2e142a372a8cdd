"""What is due and why: pure decisions, without I/O, Dagster or a clock."""
