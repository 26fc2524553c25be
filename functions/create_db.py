"""POST /api/create_db: a notebook asks for its database."""

import azure.functions as func

from shared.domain.identity import Principal
from shared.edge.names import UserId
from shared.edge.web import Answer, Asked, endpoint
from shared.wiring import callers, databases

bp = func.Blueprint()


class CreateDb(Asked):
    user_id: UserId


class Database(Answer):
    data_source: str


@bp.function_name("create_db")
@bp.route("api/create_db", methods=["POST"])
@endpoint(callers.identify, body=CreateDb)
async def create_db(caller: Principal, asked: CreateDb) -> Database:
    """Answers once the database can be used, or says within 18 s why it cannot.

    Raises InvalidRequest, NotFound for another user than the caller may act for, NotReady, StoreUnavailable,
    ClusterUnavailable, ClusterRefused, SealBroken.
    """
    return Database(data_source=await databases.create(caller.acting_for(asked.user_id)))
