"""Storing what a life holds before its storage goes, and beginning the next life with it."""

import base64
import secrets
from contextlib import suppress
from dataclasses import replace

from shared.domain.control import Control
from shared.domain.errors import ArchiveUnavailable, SealBroken
from shared.domain.leases import Archive, Lease
from shared.ports.archives import Archives
from shared.ports.cluster import Task
from shared.ports.sealer import Sealer


def begun(control: Control, lease: Lease) -> Archive:
    """A try to store this life, with a name and a data key of its own."""
    name = f"{lease.generation}-{lease.step}"
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return Archive(name, control.sealer.seal(key, _context(lease, name)), control.clock.now())


async def to_store(control: Control, lease: Lease, archive: Archive) -> Task:
    """What a pod needs to store it. Raises ArchiveUnavailable, SealBroken."""
    context = _context(lease, archive.name)
    place = await _archives(control).to_write(archive.name)
    return Task(archive.name, control.sealer.open(archive.key, context), context, place)


async def to_fetch(control: Control, lease: Lease, archive: Archive) -> Task:
    """What a pod needs to fetch it. Raises ArchiveUnavailable, SealBroken."""
    context = _context(lease, archive.name)
    place = await _archives(control).to_read(archive.name)
    key = control.sealer.open(archive.key, context)
    return Task(archive.name, key, context, place, archive.sha256, archive.size)


async def holds(control: Control, archive: Archive) -> bool:
    """Whether it is there as it was stored. Raises ArchiveUnavailable."""
    return await _archives(control).holds(archive.name, archive.sha256, archive.size)


def resealed(sealer: Sealer, lease: Lease) -> Archive | None:
    """The lease's archive with its key under the key that seals now, or as it is if it cannot be opened."""
    archive = lease.archive
    if archive is None or not sealer.stale(archive.key):
        return archive
    context = _context(lease, archive.name)
    with suppress(SealBroken):  # whoever needs it will say so
        archive = replace(archive, key=sealer.seal(sealer.open(archive.key, context), context))
    return archive


def inherited(before: Lease | None, now: float) -> Archive | None:
    """What the next life in the slot of `before` begins with."""
    archive = before.archive if before else None
    return archive if archive and archive.stored and now < archive.until else None


def _archives(control: Control) -> Archives:
    if control.archives is None:
        raise ArchiveUnavailable("no place for archives is set")
    return control.archives


def _context(lease: Lease, name: str) -> str:
    """What seals are bound to: nobody's archive opens as somebody else's, nor one try's as another's."""
    return f"{lease.owner.key} {name}"
