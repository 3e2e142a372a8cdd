"""The front page: how the collection is doing, for a person at a browser. Reads only; decides, asks and writes nothing.

`running` reads Dagster's records or has them asked for, a module a page puts together what it shows (`front`, `queue`,
`history`, `movie`, `catalogue`, `health`) out of a copy of the database (`warehouse.replica`), `pages` keeps what was
put together, `rendering` makes HTML of it, `app` serves it. Imports no Dagster, so that it starts at once.
"""
