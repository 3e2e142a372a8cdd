"""A source of places where movies were shot, added from outside of the package: what a further source takes.

`source` has its rows, `client` asks it, `asset` collects it, `server` stands in for it. `proof` is the whole, in a
process of its own: whoever imports this has the source.
"""

from ayne_dagster_tests.locations.source import LOCATIONS as LOCATIONS  # the rows, before what follows from them

# isort: split
from ayne_dagster_tests.locations.asset import locations as locations  # before the jobs that it is part of
