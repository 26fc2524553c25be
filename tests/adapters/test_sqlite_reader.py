"""Reads that queue up go to the thread together, and each has its own answer or fault."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_reader import GROUP, Reader
from shared.domain.errors import StoreUnavailable


@pytest.fixture
def file(tmp_path: Path) -> LeaseFile:
    file = LeaseFile(tmp_path / "leases.db")
    file.make()
    return file


@pytest.fixture
async def reader(file: LeaseFile) -> AsyncIterator[Reader]:
    reader = Reader(file, patience=5)
    yield reader
    await reader.close()


def number(rows: list[Any]) -> int:
    return int(rows[0][0])


async def test_what_queues_up_is_read_by_one_hop(reader: Reader, monkeypatch: pytest.MonkeyPatch):
    groups, outcomes = [], reader._outcomes
    monkeypatch.setattr(reader, "_outcomes", lambda reads: groups.append(len(reads)) or outcomes(reads))
    asked = (reader.read("SELECT ?", (n,), number) for n in range(GROUP + 3))
    assert await asyncio.gather(*asked) == list(range(GROUP + 3))
    assert groups == [GROUP, 3]


async def test_a_fault_of_one_read_is_that_reads_alone(reader: Reader):
    answers = await asyncio.gather(
        reader.read("SELECT 1", (), number),
        reader.read("SELECT nothing", (), number),
        reader.read("SELECT 2", (), lambda rows: {}["not there"]),
        reader.read("SELECT 3", (), number),
        return_exceptions=True,
    )
    assert answers[::3] == [1, 3]
    assert isinstance(answers[1], StoreUnavailable) and isinstance(answers[1].__cause__, sqlite3.Error)
    assert isinstance(answers[2], KeyError)


async def test_after_a_fault_of_the_file_the_next_read_has_another_connection(
    file: LeaseFile, reader: Reader, monkeypatch: pytest.MonkeyPatch
):
    connect, made = file.connect, []
    monkeypatch.setattr(file, "connect", lambda **how: made.append(how) or connect(**how))
    for _ in range(2):
        assert await reader.read("SELECT 1", (), number) == 1
    with pytest.raises(StoreUnavailable):
        await reader.read("SELECT nothing", (), number)
    assert await reader.read("SELECT 2", (), number) == 2
    assert made == [{"reads": True}] * 2


async def test_nobody_reads_for_who_gave_up(reader: Reader):
    reading, go_on, read = Event(), Event(), []

    def held(rows: list[Any]) -> None:
        reading.set()
        go_on.wait()

    first = asyncio.create_task(reader.read("SELECT 1", (), held))
    await asyncio.to_thread(reading.wait)
    second = asyncio.create_task(reader.read("SELECT 2", (), read.append))
    third = asyncio.create_task(reader.read("SELECT 3", (), number))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    go_on.set()
    assert await third == 3
    assert read == []


async def test_a_close_answers_what_was_asked_and_nothing_after(file: LeaseFile):
    reader = Reader(file, patience=5)
    asked = asyncio.create_task(reader.read("SELECT 1", (), number))
    await asyncio.sleep(0)
    await reader.close()
    assert await asked == 1
    with pytest.raises(StoreUnavailable, match="it was closed"):
        await reader.read("SELECT 2", (), number)


async def test_who_waits_too_long_is_told(file: LeaseFile):
    reader, go_on = Reader(file, patience=0.05), Event()
    with pytest.raises(StoreUnavailable, match="reading took longer than"):
        await reader.read("SELECT 1", (), lambda rows: go_on.wait())
    go_on.set()
    assert await reader.read("SELECT 2", (), number) == 2
    await reader.close()
