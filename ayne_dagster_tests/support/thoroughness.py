"""With how many examples a property is tried: few in the suite, all in `make proof-properties` (`THOROUGH=1`)."""

import os

THOROUGH = bool(os.environ.get("THOROUGH"))


def examples(many: int) -> int:
    """Of so many examples, those to try now: all, or a quarter."""
    return many if THOROUGH else max(5, many // 4)
