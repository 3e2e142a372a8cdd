"""How to talk to each API: clients, models, normalizers, and one transport for all. Imports no Dagster."""
