"""Long proofs of what is promised: kills, fuzzed bodies, limits under load, strategies in contest. Imports no test."""
