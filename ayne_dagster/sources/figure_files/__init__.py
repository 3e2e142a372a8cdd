"""Files of box-office figures that a user brings: reading them into rows of titles, years, ids and figures.

No storage, no matching with movies: what a row is about is found in `warehouse.matching`.
"""
