"""What the commands have in common that ask a server: their options, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from selfhost import leases_told as told
from selfhost.api_client import NoAnswer, NotSet, Refused
from selfhost.certs import CertificateProblem
from selfhost.errors import CannotStart

REFUSED, USAGE, NO_ANSWER = 1, 2, 3  # exit codes

Json = Annotated[bool, typer.Option("--json", help="JSON instead of tables and sentences.")]
Url = Annotated[str, typer.Option(help="The server; else as the notebook plugin's settings say.")]
Cert = Annotated[str, typer.Option(help="PEM file of the client's certificate.")]
Key = Annotated[str, typer.Option(help="PEM file of its key.")]
Ca = Annotated[str, typer.Option(help="PEM file of the server's CA.")]


@contextmanager
def one_line_errors(command: str) -> Iterator[None]:
    """End the process with one line on what went wrong, and not with a traceback."""
    try:
        yield
        return
    except (Refused, CannotStart, CertificateProblem) as error:
        problem, code = str(error), REFUSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""  # a full disk does not say for which file
        problem, code = f"{where}{error.strerror or error}", REFUSED
    except NotSet as error:
        problem, code = str(error), USAGE
    except NoAnswer as error:
        problem, code = str(error), NO_ANSWER
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    complain(command, problem)
    raise typer.Exit(code)


def complain(command: str, problem: object) -> None:
    typer.echo(f"playground {command}: {told.printable(problem)}", err=True)
