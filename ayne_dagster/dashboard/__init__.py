"""The front page: how the collection is doing, for a person at a browser. Reads only; decides, asks and writes nothing.

`replica` follows the database without ever locking it, `running` reads Dagster's records, a module a page puts
together what it shows (`front`, `queue`, `history`, `movie`, `catalogue`, `health`), `pages` keeps what was put
together, `rendering` makes HTML of it, `app` serves it. Imports no Dagster, so that it starts at once.
"""
