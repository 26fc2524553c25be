"""A `data_source` as a notebook's SQLFlow server uses it: taken apart, connected to, asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

DSN = re.compile(r"mysql://([A-Za-z0-9_]+):([A-Za-z0-9_]+)@tcp\(([0-9a-z.:\[\]-]+):([0-9]+)\)/\?maxAllowedPacket=0")


@dataclass(frozen=True)
class Source:
    """One database, as its data source names it."""

    user: str
    password: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Source":
        found = DSN.fullmatch(text)
        assert found, "a data source as the Go MySQL driver, and old SQLFlow's parser, take it"
        return cls(found[1], found[2], found[3], int(found[4]))

    def connect(self, **changes: Any) -> pymysql.Connection:
        wanted = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        return pymysql.connect(**wanted | changes, connect_timeout=3, autocommit=True)

    def sql(self, *statements: str) -> Sequence[tuple[Any, ...]]:
        """The rows of the last statement, all on one connection."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def keep(self, text: str) -> None:
        """Store a text of the user's own."""
        self.sql(
            "CREATE DATABASE IF NOT EXISTS mine",
            "CREATE TABLE IF NOT EXISTS mine.texts (text VARCHAR(99))",
            f"INSERT INTO mine.texts VALUES ('{text}')",
        )

    def kept(self) -> list[str]:
        """The texts that were stored."""
        return [row[0] for row in self.sql("SELECT text FROM mine.texts")]
