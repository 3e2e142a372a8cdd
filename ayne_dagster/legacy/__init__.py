"""Taking over the older collection: reading its files, mapping its rows, merging them. What its queries read
afterwards is in `warehouse.legacy_views`.

It was a collection of its own, in four eras: PostgreSQL with dumps as CSV (A), and DuckDB files without a version (B,
C) and with one (D). Nothing here is needed by a warehouse that was never anything else.
"""
