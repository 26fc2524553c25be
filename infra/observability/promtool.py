"""promtool, Prometheus' own checker of alert rules: built once, kept where the development cluster's programs are.

`python infra/observability/promtool.py` prints where it is; to build it takes two processors 5 minutes.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "devcluster"))

from cluster import artefacts  # noqa: E402
from cluster.progress import Step, logged  # noqa: E402

SOURCES = HERE / "promtool"
SPACE = 3 * artefacts.GIB


def artefact() -> artefacts.Artefact:
    sources = [SOURCES / name for name in ("go.mod", "go.sum", "build.sh")]
    return artefacts.Artefact("promtool", artefacts.digest(*sources), SPACE, _make)


def _make(made: artefacts.Artefact, out: pathlib.Path) -> None:
    env = {**artefacts.go_variables(artefacts.go_command()), "GOTMPDIR": str(out.parent)}
    with Step("build promtool") as step:
        argv = ["sh", SOURCES / "build.sh", out / "promtool"]
        logged(argv, artefacts.new_log(made.name), step, cwd=SOURCES, env=env)


def program() -> pathlib.Path:
    """The program, built if it is missing."""
    wanted = artefact()
    artefacts.CACHE.mkdir(parents=True, exist_ok=True)
    artefacts.build([wanted])
    return wanted.path / "promtool"


if __name__ == "__main__":
    print(program())
