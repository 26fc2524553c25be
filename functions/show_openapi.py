"""GET /openapi.json: this description of the API, as OpenAPI 3.1."""

from hashlib import sha256
from importlib import resources

import azure.functions as func

from shared.edge import observing

bp = func.Blueprint()

DOCUMENT = resources.files("shared.edge").joinpath("openapi.json").read_bytes()  # written by scripts/openapi.py
ETAG = f'"{sha256(DOCUMENT).hexdigest()[:32]}"'
HEADERS = {"ETag": ETAG, "Cache-Control": "no-cache"}


@bp.function_name("show_openapi")
@bp.route("openapi.json", methods=["GET"])
@observing.answered
async def show_openapi(req: func.HttpRequest) -> func.HttpResponse:
    """Tells nothing that the source does not, so it asks nobody for a certificate; 304 to who has it already."""
    seen = req.headers.get("If-None-Match", "")
    if ETAG in seen or seen.strip() == "*":
        return func.HttpResponse(status_code=304, headers=HEADERS)
    return func.HttpResponse(DOCUMENT, mimetype="application/json", headers=HEADERS)
