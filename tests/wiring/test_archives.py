"""Which place for archives stands behind the port, and what of the settings reaches it."""

from collections.abc import AsyncIterator

import pytest

from shared.adapters.archive_blob import BlobArchives
from shared.edge import settings
from shared.edge.config import SettingError
from shared.ports.archives import Place
from shared.wiring import archives, cluster

ACCOUNT = "https://acme.blob.core.windows.net"


@pytest.fixture(autouse=True)
async def fresh() -> AsyncIterator[None]:
    yield
    await archives.archives.close()


async def test_without_a_place_nothing_is_archived():
    assert await archives.archives.get() is None
    assert not settings.policy({}).archives


async def test_archives_on_a_volume(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_ARCHIVE", "volume:kept-things")
    made = await archives.archives.get()
    assert made is not None
    assert await made.to_write("x-1") == Place(claim="kept-things", path="x-1.archive")
    assert settings.policy({"PLAYGROUND_ARCHIVE": "volume:kept-things", "PLAYGROUND_ARCHIVE_KEPT": "P3D"}).archives


async def test_archives_as_blobs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_ARCHIVE", f"blob:{ACCOUNT}/archives")
    assert isinstance(await archives.archives.get(), BlobArchives)


@pytest.mark.parametrize("where", ["blob:http://acme.example/archives", f"blob:{ACCOUNT}/UPPER"])
async def test_a_place_that_cannot_be_used_names_the_setting(monkeypatch: pytest.MonkeyPatch, where: str):
    monkeypatch.setenv("PLAYGROUND_ARCHIVE", where)
    with pytest.raises(SettingError, match=r"^PLAYGROUND_ARCHIVE: "):
        await archives.archives.get()


@pytest.mark.parametrize("where", ["", "somewhere", "volume:", "volume:a/b", "volume:UP", "blob:", "blob:ftp://a/b"])
def test_what_is_no_place_is_refused(where: str):
    text = where or "volume"
    with pytest.raises(SettingError, match=r"^PLAYGROUND_ARCHIVE: not none, volume:<name of a claim> or blob:"):
        settings.ARCHIVE_AT.read({"PLAYGROUND_ARCHIVE": text})


def test_where_archives_are_kept_the_image_of_the_archiver_must_be_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_ARCHIVE", "volume:archives")
    with pytest.raises(SettingError, match="PLAYGROUND_ARCHIVER_IMAGE must be set where PLAYGROUND_ARCHIVE is"):
        cluster.spec()
    monkeypatch.setenv("PLAYGROUND_ARCHIVER_IMAGE", "registry/archiver:1")
    monkeypatch.setenv("PLAYGROUND_ARCHIVE_STORAGE", "3Gi")
    monkeypatch.setenv("PLAYGROUND_ARCHIVE_KEPT", "P10DT1H")
    spec = cluster.spec()
    assert (spec.archiver, spec.archive_storage) == ("registry/archiver:1", "3Gi")
    assert spec.archive_days == 12, "a day more than any archive is kept"
