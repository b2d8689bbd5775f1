"""Files notify: created, changed, replaced, moved and removed ones."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.origin.sources.hubs import CONNECTED, ROUTES, following
from tests.ports import free_port
from tests.redis_servers import KINDS, Rack
from tests.serving import serve


def source(path: Path, *resources: str) -> dict[str, object]:
    given = resources or ("/files/{path}", "/names/{stem}", "/files")
    return {"name": "docs", "kind": "files", "path": str(path), "resources": given}


async def test_files_notify(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    async with following(source(tmp_path)) as front:
        async with front.told("/files/a.json", "/names/a", "/files"):
            (tmp_path / "a.json").write_text("1")
        async with front.told("/files/a.json"):
            (tmp_path / "a.json").write_text("2")
        async with front.told("/files/below/b%20%C3%A9%25.json", "/names/b%20%C3%A9%25"):
            (below / "b é%.json").write_text("1")
        # As an editor, and every careful program, replaces a file.
        (tmp_path / "new").write_text("3")
        async with front.told("/files/a.json", "/names/a"):
            os.replace(tmp_path / "new", tmp_path / "a.json")
        async with front.told("/files/a.json", "/files/c.json"):
            (tmp_path / "a.json").rename(tmp_path / "c.json")
        async with front.told("/files/c.json", "/files"):
            (tmp_path / "c.json").unlink()
        # In a folder that was made since.
        async with front.told("/files/more/d.json"):
            (tmp_path / "more").mkdir()
            (tmp_path / "more" / "d.json").write_text("1")


async def test_the_files_of_a_new_folder_notify(tmp_path: Path) -> None:
    """It was elsewhere, with its files: they have no changes of their own."""
    watched, elsewhere = tmp_path / "watched", tmp_path / "elsewhere"
    watched.mkdir()
    (elsewhere / "deep").mkdir(parents=True)
    for folder in (elsewhere, elsewhere / "deep"):
        (folder / "e.json").write_text("1")
    async with (
        following(source(watched)) as front,
        front.told("/files/moved/e.json", "/files/moved/deep/e.json"),
    ):
        elsewhere.rename(watched / "moved")


async def test_one_file(tmp_path: Path) -> None:
    file, other = tmp_path / "a.json", tmp_path / "b.json"
    file.write_text("1")
    async with following(source(file, "/a", "/{name}")) as front:
        for resource in ("/a", "/a.json"):
            async with front.told(resource):
                other.write_text("2")
                file.write_text("2")
            async with front.told(resource):
                other.replace(file)
        front.api.set("/b.json", "1", '"one"')
        await front.wait("/b.json")
        async with front.waiting("/b.json", '"one"'):
            await front.parked(1)
            looks = front.api.count("/b.json")
            other.write_text("3")
            front.api.set("/a", "1", '"one"')
            await front.wait("/a")
            async with front.waiting("/a", '"one"') as answer:
                await front.parked(2)
                front.api.set("/a", "2", '"two"')
                file.write_text("4")
                assert (await answer).headers["etag"] == '"two"'
            assert front.api.count("/b.json") == looks


async def test_one_file_behind_a_link(tmp_path: Path) -> None:
    # As Kubernetes mounts a ConfigMap: a link to a link to a folder, which alone is replaced.
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.json").write_text(version)
    data, file = tmp_path / "data", tmp_path / "a.json"
    data.symlink_to("1")
    file.symlink_to("data/a.json")
    async with following(source(file, "/a")) as front:
        async with front.told("/a"):
            (tmp_path / "new").symlink_to("2")
            (tmp_path / "new").replace(data)
        async with front.told("/a"):
            (tmp_path / "2" / "a.json").write_text("three")


async def test_a_file_that_keeps_its_time(tmp_path: Path) -> None:
    # As rsync -t, cp -p and an archive leave it.
    async with following(source(tmp_path)) as front:
        for content in "123":
            (tmp_path / "new").write_text(content)
            os.utime(tmp_path / "new", ns=(10**18, 10**18))
            async with front.told("/files/a.json"):
                (tmp_path / "new").replace(tmp_path / "a.json")


async def test_a_folder_behind_a_link(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    for version in ("1", "2"):
        (watched / version).mkdir(parents=True)
        (watched / version / "a.json").write_text(version)
    (watched / "data").symlink_to("1")
    (watched / "a.json").symlink_to("data/a.json")
    async with following(source(watched)) as front, front.told("/files/a.json"):
        (watched / "new").symlink_to("2")
        (watched / "new").replace(watched / "data")


async def test_a_bulk_change_is_one_notification(tmp_path: Path) -> None:
    async with following(source(tmp_path)) as front:
        async with front.told("/files/999", "/files"):
            for number in range(1000):
                (tmp_path / str(number)).write_text("1")
        counted = (await front.hub.get("/_pushhub/metrics")).body.decode()
        (number,) = re.findall(r"(?m)^pushhub_origin_notices_total (\d+)$", counted)
        assert int(number) < 500


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_folder_that_comes_back_is_watched_again(tmp_path: Path, replaced: bool) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    async with following(source(folder)) as front:
        async with front.told("/files/a.json"):
            shutil.rmtree(folder)
            if not replaced:
                front.hub.output.find(re.compile(r"source\.disconnected"), 30)
            folder.mkdir()
            (folder / "a.json").write_text("1")
        front.hub.output.find(re.compile(r"source\.disconnected"), 30)
        async with front.told("/files/b.json"):
            (folder / "b.json").write_text("1")


async def test_other_nodes_are_notified(tmp_path: Path) -> None:
    """A node on another machine has not these files."""
    rack, port = Rack(), free_port()
    try:
        store, origin = rack.start(KINDS["valkey9"]).url(), f"http://127.0.0.1:{port}"
        with (
            serve(store=store, origin=origin, routes=ROUTES, sources=[source(tmp_path)]) as near,
            serve(store=store, origin=origin, routes=ROUTES, sources=[source(tmp_path)]) as twin,
            serve(store=store, origin=origin, routes=ROUTES) as far,
        ):
            near.output.find(CONNECTED, 30)
            twin.output.find(CONNECTED, 30)
            async with Api.running(port) as api:
                front = Front(far, api)
                # After what the nodes say at their start.
                async with front.told("/files/first"):
                    (tmp_path / "first").write_text("1")
                async with front.told("/files/a.json"):
                    looks = api.count("/files/a.json")
                    (tmp_path / "a.json").write_text("1")
                assert api.count("/files/a.json") <= looks + 2
    finally:
        rack.close()
