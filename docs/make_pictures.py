"""Makes docs/demo.svg, the picture of the demonstration's result in the README. Run it from a scratch folder."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rich.console import Console

from ayne_dagster.demo.story import run_demo


def main() -> None:
    """Run the demonstration as `make demo` does and save what it prints."""
    out = Console(record=True, width=88, highlight=False)
    run_demo(500, 365, None, Console(stderr=True)).tell(out)
    picture = out.export_svg(title="make demo")
    # rich names a font on somebody's server; a page of ours asks nobody else, and any fixed-width font will do.
    (Path(__file__).parent / "demo.svg").write_text(
        re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL), "utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
