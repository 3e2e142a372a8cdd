"""What a run is: what it is for, what it may spend, where it is recorded, and what became of it. No asset, no table."""
