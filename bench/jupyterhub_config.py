"""Read by JupyterHub: its API over plain HTTP, and nothing that spends time on anything else."""

import os

from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner

FOLDER = os.environ["BENCH_FOLDER"]


class NothingToProxy(Proxy):
    should_start = False

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {}


class StartsNothing(Spawner):
    async def start(self):
        return "127.0.0.1", 1

    async def stop(self, now=False):
        pass

    async def poll(self):
        return None


c = get_config()  # noqa: F821
c.JupyterHub.proxy_class = NothingToProxy
c.JupyterHub.spawner_class = StartsNothing
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = int(os.environ["BENCH_PORT"])
c.JupyterHub.bind_url = "http://127.0.0.1:9"  # the proxy's address: there is none
c.JupyterHub.db_url = f"sqlite:///{FOLDER}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{FOLDER}/jupyterhub_cookie_secret"
c.JupyterHub.activity_resolution = int(os.environ["BENCH_RESOLUTION"])
c.JupyterHub.log_level = "WARN"
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "scopes": ["users:activity", "admin:users", "list:users"], "services": ["bench"]}
]
