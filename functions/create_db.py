"""POST /api/create_db: a notebook asks for its database."""

import azure.functions as func

from shared.domain import databases
from shared.domain.identity import Principal
from shared.edge.web import Answer, Asked, endpoint
from shared.wiring import callers
from shared.wiring.control import control

bp = func.Blueprint()


class CreateDb(Asked):
    user_id: str


class Database(Answer):
    data_source: str


@bp.function_name("create_db")
@bp.route("api/create_db", methods=["POST"])
@endpoint(callers.identify, body=CreateDb)
async def create_db(caller: Principal, asked: CreateDb) -> Database:
    """Answers once the database can be used, or says within 18 s why it cannot."""
    owner = caller.acting_for(asked.user_id)
    return Database(data_source=await databases.create(await control.get(), owner))
