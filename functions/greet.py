"""GET /: says who is here, as the original did."""

import azure.functions as func

from shared.edge import observing

bp = func.Blueprint()


@bp.function_name("greet")
@bp.route("/", methods=["GET"])
@observing.answered
async def greet(req: func.HttpRequest) -> func.HttpResponse:
    """Tells nobody anything, so it asks nobody for a certificate."""
    return func.HttpResponse("Hello, SQLFlow Playground!", mimetype="text/plain")
