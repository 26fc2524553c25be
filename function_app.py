"""Registers the functions this app serves: those that PLAYGROUND_FUNCTIONS names, or all.

A server of our own begins and ends with `startup`; Azure's host only loads this file.
"""

import azure.functions as func

from shared.wiring import serving, startup

startup.check()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # the client certificate is what counts
for blueprint in serving.blueprints():
    app.register_functions(blueprint)
