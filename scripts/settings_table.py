"""The table of settings for README.md, from the settings themselves.

`python -m scripts.settings_table` prints it, with `--write` it is put into README.md: into the place of
the one there, or at the end.
"""

import re
import sys
from pathlib import Path

from shared.edge import settings  # noqa: F401  (registers them)
from shared.edge.config import SETTINGS

README = Path(__file__).parents[1] / "README.md"
HEAD = "| setting | default | meaning |\n| --- | --- | --- |\n"


def rows() -> list[str]:
    """One row a setting, in the order in which they are declared."""
    return [
        f"| `{each.name}` | {f'`{each.default}`' if each.default else ''} | {each.meaning} |"
        for each in SETTINGS.values()
    ]


def main() -> None:
    table = HEAD + "\n".join(rows()) + "\n"
    if "--write" not in sys.argv:
        print(table, end="")
        return
    before, _, after = README.read_text().partition(HEAD)
    rest = re.sub(r"\A(\|.*\n)*", "", after)
    README.write_text(before.rstrip() + "\n\n" + table + rest)


if __name__ == "__main__":
    main()
