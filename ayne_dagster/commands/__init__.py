"""The commands of `ayne`, one module a group; `cli.py` puts them together. Each reads options and calls one method."""
