"""One SQLite file that several processes share: making it, opening it, and what can be wrong with it.

Whoever writes holds an flock on `<file>.lock` for the length of a transaction. SQLite itself lets
waiting writers poll, which starves some of them for most of a second; the kernel's queue is fair.
It also keeps every commit and checkpoint apart from every other, and so whoever holds the lock
may copy the file and its `-wal`: `flock leases.db.lock cp leases.db leases.db-wal elsewhere/`.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.errors import StoreUnavailable

VERSION = 3  # of the tables below; PRAGMA user_version of the file
APPLICATION = 0x706C6179  # PRAGMA application_id: "play"
BUSY = 5.0  # seconds to wait for a writer that does not know of our lock, such as the sqlite3 shell

# What a query filters or a beat writes has a column; the rest of the item is JSON.
TABLES = """
CREATE TABLE leases (
    owner TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, due_at REAL NOT NULL,
    beat_at REAL NOT NULL, look_by REAL NOT NULL, gone_at REAL, etag INTEGER NOT NULL,
    rest TEXT NOT NULL, PRIMARY KEY (owner, id)
) STRICT;
CREATE INDEX leases_due ON leases (due_at) WHERE state != 'released';
CREATE INDEX leases_gone ON leases (gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE events (
    owner TEXT NOT NULL, id TEXT NOT NULL, rest TEXT NOT NULL, PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE records (id TEXT NOT NULL PRIMARY KEY, etag INTEGER NOT NULL, item TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
HOLDERS = """
CREATE TABLE holders (
    owner TEXT NOT NULL PRIMARY KEY, revoked_at REAL NOT NULL, gone_at REAL NOT NULL, etag INTEGER NOT NULL,
    rest TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holders_revoked ON holders (revoked_at) WHERE revoked_at > 0;
CREATE INDEX holders_gone ON holders (gone_at);
"""
AUDIT = """
ALTER TABLE events ADD COLUMN at REAL NOT NULL DEFAULT 0;
UPDATE events SET at = json_extract(rest, '$.at');
CREATE INDEX events_at ON events (at);
"""
# What a file of each version lacks of the next one.
MISSING = {0: TABLES, 1: HOLDERS, 2: AUDIT}


class LeaseFile:
    """A path, and how to lock and open what is there. For any number of threads and processes."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    def make(self) -> None:
        """Make the file (mode 0600) and its tables unless they are there. Raises StoreUnavailable."""
        with self.explained(), self.locked():
            self._touch()
            connection = self.connect()
            try:
                version, application = (
                    connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
                )
                empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
                if version > VERSION and application == APPLICATION:
                    raise StoreUnavailable(
                        f"{self.path}: its tables have version {version}, and this program knows {VERSION}: "
                        "it was written by a newer one"
                    )
                if not empty and (application != APPLICATION or version < 1):
                    raise StoreUnavailable(f"{self.path}: this is some other program's database")
                if version < VERSION:
                    tables = "".join(MISSING[each] for each in range(version, VERSION))
                    connection.executescript(
                        f"BEGIN IMMEDIATE; {tables} PRAGMA application_id = {APPLICATION}; "
                        f"PRAGMA user_version = {VERSION}; COMMIT;"
                    )
            finally:
                connection.close()

    def _touch(self) -> None:
        """Make an empty file, or see that the one there can be written. Raises OSError.

        Never opens one that exists: closing it again would undo the locks that SQLite's connections
        of this process have on it (https://sqlite.org/howtocorrupt.html, 2.2).
        """
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if not os.access(self.path, os.R_OK | os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))

    def connect(self, *, reads: bool = False) -> sqlite3.Connection:
        """A connection in autocommit mode. Raises sqlite3.Error.

        Closing it checkpoints nothing, for that would happen outside the lock.
        """
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY,
                                     isolation_level=None, cached_statements=64)  # fmt: skip
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise sqlite3.OperationalError(f"no write-ahead log is possible there (journal mode {mode})")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
            connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            if reads:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[None]:
        """Keep every other writer out, in this process too. Blocks, or raises OSError."""
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(lock)  # and with it the lock

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise what goes wrong in here as StoreUnavailable, saying which file and what happened."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise StoreUnavailable(f"{self.path}: {error} ({name})", retry_after=5) from error
        except OSError as error:
            raise StoreUnavailable(f"{error.filename or self.path}: {error.strerror}", retry_after=5) from error
