"""What a run is: what it is for, where it is recorded, and what became of it. No asset, no source, no table."""
