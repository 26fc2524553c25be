"""What a notebook's user may do in its own database, tried in SQL on a real server."""

import asyncio
from collections.abc import AsyncIterator

import pymysql
import pytest
import pytest_asyncio

from shared.manifests.mariadb import CONTAINER, client_argv
from shared.ports.cluster import Status
from tests.cluster_fixture import RealCluster
from tests.contract.cluster_real import Real, connect, real_world, sql
from tests.contract.cluster_worlds import life

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

ALICE = life()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(real_cluster: RealCluster) -> AsyncIterator[Real]:
    async with real_world(real_cluster) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def status(world: Real) -> Status:
    cluster = world.databases()
    await cluster.start(ALICE, 1)
    async with asyncio.timeout(60):
        status = await cluster.wait_ready(ALICE.generation)
    assert status.ready, status
    return status


async def as_server(world: Real, statement: str) -> str:
    """Ask as the account of the container's own user."""
    output = await world.api.run(f"pg-{ALICE.generation}-0", CONTAINER, client_argv(statement))
    assert output.code == 0, output
    return output.stdout.decode().strip()


async def test_the_sample_data_is_there(status):
    rows = await sql(status, "SELECT class, COUNT(*) FROM iris.train GROUP BY class ORDER BY class")
    assert rows == [(0, 40), (1, 40), (2, 40)]
    assert await sql(status, "SELECT * FROM iris.test LIMIT 1") == [(5.0, 3.6, 1.4, 0.2, 0)]
    columns = await sql(status, "SHOW COLUMNS FROM iris.train")
    assert [(column[0], column[1]) for column in columns] == [
        ("sepal_length", "float"), ("sepal_width", "float"), ("petal_length", "float"), ("petal_width", "float"),
        ("class", "int(11)"),
    ]  # fmt: skip


async def test_the_user_makes_and_fills_its_own_schemas(status):
    rows = await sql(
        status,
        "CREATE DATABASE own",
        "USE own",
        "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20))",
        "CREATE TABLE log (a INT)",
        "CREATE INDEX i ON t (b)",
        "CREATE TRIGGER after_t AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NEW.a)",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE PROCEDURE fill() INSERT INTO t VALUES (2, 'zwei ✓')",
        "CREATE FUNCTION two() RETURNS INT RETURN 2",
        "CREATE EVENT later ON SCHEDULE EVERY 1 DAY DO DELETE FROM log",
        "INSERT INTO t VALUES (1, 'eins')",
        "CALL fill()",
        "ALTER TABLE t ADD c INT",
        "CREATE TEMPORARY TABLE brief AS SELECT * FROM v",
        "LOCK TABLES t WRITE",
        "UNLOCK TABLES",
        "UPDATE t SET c = two()",
        "SELECT t.b, t.c, log.a FROM t JOIN log USING (a) JOIN brief USING (a) ORDER BY a",
    )
    assert rows == [("eins", 2, 1), ("zwei ✓", 2, 2)]
    await sql(status, "DROP DATABASE own")


@pytest.mark.parametrize(
    "statement",
    [
        # the server's own schemas
        "SELECT * FROM mysql.global_priv",
        "SELECT user, authentication_string FROM mysql.user",
        "SELECT * FROM mysql.db",
        "EXPLAIN SELECT * FROM mysql.user",
        "HANDLER mysql.global_priv OPEN",
        "LOCK TABLES mysql.global_priv READ",
        "UPDATE mysql.db SET Select_priv = 'Y'",
        "INSERT INTO mysql.plugin VALUES ('x', 'y')",
        "DELETE FROM mysql.global_priv",
        "CREATE TABLE mysql.mine (a INT)",
        "CREATE TEMPORARY TABLE mysql.mine (a INT)",
        "CREATE TRIGGER mysql.t BEFORE INSERT ON mysql.db FOR EACH ROW SET @a = 1",
        "CREATE PROCEDURE mysql.p() SELECT 1",
        "ALTER TABLE mysql.db ADD x INT",
        "DROP TABLE mysql.general_log",
        "DROP DATABASE mysql",
        "DROP DATABASE sys",
        "SELECT * FROM sys.version",
        "CALL sys.ps_setup_save(1)",
        "SELECT * FROM performance_schema.accounts",
        # files
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE iris.train",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE iris.train",
        # the server
        "SHUTDOWN",
        "SET GLOBAL max_connections = 1",
        "SET GLOBAL event_scheduler = ON",
        "SET GLOBAL userstat = OFF",
        "FLUSH USER_STATISTICS",
        "FLUSH PRIVILEGES",
        "FLUSH TABLES",
        "BACKUP STAGE START",
        "SHOW ENGINE INNODB STATUS",
        "SELECT * FROM information_schema.INNODB_SYS_TABLES",
        "SET SESSION sql_log_bin = 0",
        "CHANGE MASTER TO master_host = 'x'",
        "INSTALL SONAME 'ha_connect'",
        "CREATE FUNCTION metaphon RETURNS STRING SONAME 'udf.so'",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
        # accounts
        "CREATE USER eve",
        "CREATE ROLE r",
        "DROP USER 'mysql'@'localhost'",
        "SET PASSWORD FOR 'root'@'localhost' = PASSWORD('mine')",
        "GRANT SELECT ON iris.* TO 'notebook'@'%'",
        "GRANT ALL ON *.* TO 'notebook'@'%'",
        "CREATE DEFINER = 'root'@'localhost' PROCEDURE iris.p() SELECT * FROM mysql.global_priv",
        "CREATE DEFINER = 'root'@'localhost' SQL SECURITY DEFINER VIEW iris.v AS SELECT 1",
    ],
)
async def test_the_user_may_not(status, statement):
    with pytest.raises(pymysql.err.MySQLError, match=r"denied|not allowed|disabled|can not be"):
        await sql(status, statement)


async def test_files_of_the_server_stay_unread(status):
    assert await sql(status, "SELECT LOAD_FILE('/etc/passwd')") == [(None,)]


async def test_a_table_stays_in_the_volume(world, status):
    await sql(status, "CREATE DATABASE elsewhere", "CREATE TABLE elsewhere.t (a INT) DATA DIRECTORY = '/tmp'")
    assert "DATA DIRECTORY" not in str(await sql(status, "SHOW CREATE TABLE elsewhere.t"))
    await sql(status, "DROP DATABASE elsewhere")


async def test_the_user_sees_its_own_threads_only_and_no_statistics(status):
    assert {row[0] for row in await sql(status, "SELECT user FROM information_schema.PROCESSLIST")} == {"notebook"}
    assert await sql(status, "SELECT * FROM information_schema.USER_STATISTICS") == []


@pytest.mark.parametrize(("user", "password"), [("root", "Root1"), ("root", ""), ("mysql", ""), ("", "")])
async def test_nobody_else_logs_in_over_the_network(status, user, password):
    with pytest.raises(pymysql.err.OperationalError, match=r"denied|not allowed"):
        await asyncio.to_thread(connect, status.address, password, user)


async def test_who_asks_for_evidence_may_do_nothing_else(world, status):
    assert await as_server(world, "SHOW GRANTS") == (
        "GRANT PROCESS ON *.* TO `mysql`@`localhost` IDENTIFIED VIA unix_socket"
    )


async def test_only_the_user_s_own_work_is_counted(world, status):
    cluster = world.databases()

    async def quiet():
        evidence = await cluster.evidence(ALICE.generation)
        return evidence if evidence is not None and evidence.connections == 0 else None

    before = await world.until(quiet)
    with pytest.raises(pymysql.err.OperationalError):
        await asyncio.to_thread(connect, status.address, "wrong", "root")
    await as_server(world, "SELECT 1")
    reader, writer = await asyncio.open_connection(*status.address.split(":"))  # as a probe of the port does
    assert await reader.read(1)
    writer.close()
    assert await cluster.evidence(ALICE.generation) == before
    await sql(status, "SELECT 1", "SELECT 2")
    after = await world.until(quiet)
    assert after.connected == before.connected + 1
    assert after.statements >= before.statements + 2


async def test_a_statement_that_runs_is_seen_running_and_counted_at_its_end(world, status):
    cluster = world.databases()
    before = await cluster.evidence(ALICE.generation)
    task = asyncio.create_task(sql(status, "SELECT SLEEP(2)"))

    async def running():
        evidence = await cluster.evidence(ALICE.generation)
        return evidence if evidence is not None and evidence.executing else None

    during = await world.until(running)
    assert during.connected == before.connected + 1, "a connection counts when it opens"
    await task
    after = await cluster.evidence(ALICE.generation)
    assert after.statements > during.statements


async def test_the_limits_are_those_that_were_set(status):
    row = await sql(
        status,
        "SELECT @@innodb_buffer_pool_size, @@max_connections, @@wait_timeout, @@character_set_server, @@local_infile",
    )
    assert row == [(64 << 20, 100, 86400, "utf8mb4", 0)]
