"""The commands of `ayne`, one module a group, and how they show progress; `cli` puts them together."""
