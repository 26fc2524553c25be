"""One function that does nothing: what the start and a call cost."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("api/heart_beat", methods=["GET"])
async def heart_beat(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse('{"renewed": true}', mimetype="application/json")
