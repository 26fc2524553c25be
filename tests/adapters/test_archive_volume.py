"""Archives on a volume claim: where they are, and what no name can be."""

import pytest

from shared.adapters.archive_volume import VolumeArchives, file_name
from shared.ports.archives import Place


async def test_it_is_read_where_it_was_written_and_taken_to_be_there() -> None:
    archives = VolumeArchives("archives")
    place = Place(claim="archives", path="k3x-7.archive")
    assert await archives.to_write("k3x-7") == await archives.to_read("k3x-7") == place
    assert await archives.holds("k3x-7", "0" * 64, 1)
    await archives.close()


@pytest.mark.parametrize("name", ["a", "k3x-7", "default/alice/k3x-7"])
def test_a_name_is_a_path(name: str) -> None:
    assert file_name(name) == f"{name}.archive"


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a.b", "A", "a b", "a\n", "a%2e", "a" * 201])
async def test_what_could_be_elsewhere_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="an archive's name"):
        await VolumeArchives("archives").to_write(name)
