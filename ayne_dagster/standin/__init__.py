"""The servers that stand in for the sources, and their invented catalogue. Imports nothing of how they are asked."""
