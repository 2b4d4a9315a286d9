"""Fetching from a server on this machine that behaves well, and badly."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import shutil
import threading
import zipfile

import numpy as np
import pytest

from pipeline.errors import BitspikeError
from sensors import datasets
from sensors.catalogue import Dataset, DatasetFile

CONTENT = np.random.default_rng(1).bytes(1_000_003)


class Server(http.server.ThreadingHTTPServer):
    """Serves `contents`; `cut` bytes are sent of each answer, and `ranges` tells whether it goes on from the middle."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents, self.requests = {}, []
        self.cut, self.ranges, self.lie, self.status = None, True, None, None


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.contents.get(self.path)
        span = self.headers.get("Range")
        server.requests.append((self.path, span))
        if content is None or server.status:
            self.send_error(server.status or 404)
            return
        first = 0
        if span and server.ranges:
            first = int(re.fullmatch(r"bytes=(\d+)-", span)[1])
            if first >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", server.lie or f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:] if server.cut is None else content[first : first + server.cut])

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def offered(server, name="one.bin", content=CONTENT, algorithm="sha256"):
    server.contents["/" + name] = content
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    return DatasetFile(name, url, len(content), algorithm, hashlib.new(algorithm, content).hexdigest())


def made(*files):
    return Dataset("set", "a test", "10.1/x", "CC0", files, "")


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_fetch_and_fetch_again(server, tmp_path, algorithm):
    dataset = made(offered(server, algorithm=algorithm), offered(server, "two.bin", b"second"))
    told = []
    folder = datasets.fetch_dataset(dataset, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert folder == tmp_path / "set"
    assert (folder / "one.bin").read_bytes() == CONTENT
    assert (folder / "two.bin").read_bytes() == b"second"
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT) + 6, len(CONTENT) + 6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
    manifest = json.loads((folder / "fetched.json").read_text())
    assert manifest["files"]["one.bin"] == {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    before = len(server.requests)
    assert datasets.fetch_dataset(dataset, tmp_path) == folder
    assert len(server.requests) == before


def test_what_was_damaged_later_is_fetched_again(server, tmp_path):
    dataset = made(offered(server))
    folder = datasets.fetch_dataset(dataset, tmp_path)
    assert datasets.is_fetched(dataset, tmp_path)
    (folder / "one.bin").write_bytes(CONTENT[:-1])
    assert not datasets.is_fetched(dataset, tmp_path)
    datasets.fetch_dataset(dataset, tmp_path)
    assert (folder / "one.bin").read_bytes() == CONTENT


def test_broken_connection_is_taken_up_again(server, tmp_path):
    server.cut = 400_000
    folder = datasets.fetch_dataset(made(offered(server)), tmp_path)
    assert (folder / "one.bin").read_bytes() == CONTENT
    assert [span for _, span in server.requests] == [None, "bytes=400000-", "bytes=800000-"]


def test_truncated_download_goes_on_the_next_time(server, tmp_path):
    dataset = made(offered(server))
    server.cut = 100_000
    with pytest.raises(BitspikeError, match="the connection ended after 300000 of 1000003 bytes; fetch again to go on from there"):
        datasets.fetch_dataset(dataset, tmp_path)
    assert not (tmp_path / "set").exists()
    assert (tmp_path / "set.part" / "one.bin.part").stat().st_size == 300_000
    server.cut = None
    server.requests.clear()
    folder = datasets.fetch_dataset(dataset, tmp_path)
    assert [span for _, span in server.requests] == ["bytes=300000-"]
    assert (folder / "one.bin").read_bytes() == CONTENT


def test_server_that_does_not_go_on_from_the_middle(server, tmp_path):
    dataset = made(offered(server))
    (tmp_path / "set.part").mkdir()
    (tmp_path / "set.part" / "one.bin.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert (datasets.fetch_dataset(dataset, tmp_path) / "one.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(CONTENT)])
def test_corrupted_part_is_noticed_and_deleted(server, tmp_path, left):
    dataset = made(offered(server))
    (tmp_path / "set.part").mkdir()
    (tmp_path / "set.part" / "one.bin.part").write_bytes(left)
    with pytest.raises(BitspikeError, match=r"what came has another sha256 than .* it was deleted: fetch again"):
        datasets.fetch_dataset(dataset, tmp_path)
    assert list((tmp_path / "set.part").iterdir()) == []
    assert (datasets.fetch_dataset(dataset, tmp_path) / "one.bin").read_bytes() == CONTENT


def test_part_that_is_too_long(server, tmp_path):
    (tmp_path / "set.part").mkdir()
    (tmp_path / "set.part" / "one.bin.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert (datasets.fetch_dataset(made(offered(server)), tmp_path) / "one.bin").read_bytes() == CONTENT


def test_corrupted_content(server, tmp_path):
    dataset = made(offered(server))
    server.contents["/one.bin"] = b"y" + CONTENT[1:]
    with pytest.raises(BitspikeError, match="what came has another sha256"):
        datasets.fetch_dataset(dataset, tmp_path)
    assert not (tmp_path / "set").exists()


def test_server_with_another_file(server, tmp_path):
    dataset = made(offered(server))
    server.contents["/one.bin"] = CONTENT[:500]
    with pytest.raises(BitspikeError, match="the server offers 500 bytes, and the catalogue says 1000003"):
        datasets.fetch_dataset(dataset, tmp_path)


def test_server_that_lies_about_the_range(server, tmp_path):
    dataset = made(offered(server))
    (tmp_path / "set.part").mkdir()
    (tmp_path / "set.part" / "one.bin.part").write_bytes(CONTENT[:1000])
    server.lie = "bytes 0-1000002/1000003"
    with pytest.raises(BitspikeError, match="asked to go on from byte 1000 and answers 'bytes 0-1000002/1000003'"):
        datasets.fetch_dataset(dataset, tmp_path)


def test_server_that_refuses_and_none_at_all(server, tmp_path):
    dataset = made(offered(server))
    server.status = 503
    with pytest.raises(BitspikeError, match=r"one.bin: the server answers 503 Service Unavailable; try later"):
        datasets.fetch_dataset(dataset, tmp_path)
    nowhere = made(DatasetFile("x", "http://127.0.0.1:9/x", 1, "md5", ""))
    with pytest.raises(BitspikeError, match=r"http://127.0.0.1:9/x: cannot be reached \(.*refused.*\); check the connection"):
        datasets.fetch_dataset(nowhere, tmp_path)


def packed(tmp_path, members):
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path.read_bytes()


def test_archive_is_unpacked(server, tmp_path):
    content = packed(tmp_path, {"Simulator/a.mat": b"aa", "Simulator/b.mat": b"bbb"})
    dataset = made(offered(server, "packed.zip", content))
    folder = datasets.fetch_dataset(dataset, tmp_path / "cache")
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert names == ["Simulator/a.mat", "Simulator/b.mat", "fetched.json"]
    assert datasets.is_fetched(dataset, tmp_path / "cache")


def test_archive_may_not_write_outside(server, tmp_path):
    content = packed(tmp_path, {"../../evil": b"x"})
    with pytest.raises(BitspikeError, match="leads out of the folder; it was not unpacked"):
        datasets.fetch_dataset(made(offered(server, "packed.zip", content)), tmp_path / "cache")
    assert not list(tmp_path.rglob("evil"))


def test_local_copy(server, tmp_path):
    dataset = made(offered(server))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "one.bin").write_bytes(CONTENT)
    for source in (mine, mine / "one.bin"):
        folder = datasets.fetch_dataset(dataset, tmp_path / "cache", source)
        assert (folder / "one.bin").read_bytes() == CONTENT
        shutil.rmtree(folder)
    (mine / "one.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(BitspikeError, match=r"one.bin: has 1000002 bytes, and one.bin has 1000003: it is truncated"):
        datasets.fetch_dataset(dataset, tmp_path / "cache", mine)
    (mine / "one.bin").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(BitspikeError, match=r"one.bin: its sha256 is .*: it is damaged"):
        datasets.fetch_dataset(dataset, tmp_path / "cache", mine)
    with pytest.raises(BitspikeError, match=r"nothing: no such file; give a folder with one.bin, or the file itself"):
        datasets.fetch_dataset(dataset, tmp_path / "cache", mine / "nothing")
    assert server.requests == []


def test_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BitspikeError, match="cannot be written: Not a directory"):
        datasets.fetch_dataset(made(offered(server)), tmp_path / "file")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BITSPIKE_CACHE", "/a/b")
    assert str(datasets.cache_folder()) == "/a/b"
    monkeypatch.delenv("BITSPIKE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert str(datasets.cache_folder()) == "/c/bitspike"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert datasets.cache_folder() == tmp_path / ".cache" / "bitspike"


def test_catalogue():
    names = [dataset.name for dataset in datasets.catalogue()]
    assert names[0] == "waveclus"
    assert len(set(names)) == len(names)
    waveclus = datasets.catalogue()[0]
    assert (waveclus.size, waveclus.doi) == (257_950_406, "10.25392/leicester.data.11897595.v1")
    for dataset in datasets.catalogue():
        assert dataset.licence
        assert len({file.name for file in dataset.files}) == len(dataset.files)
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert re.fullmatch("[0-9a-f]+", file.digest)
            assert len(file.digest) == {"md5": 32, "sha256": 64}[file.algorithm]
    with pytest.raises(BitspikeError, match="data set: 'moon'; choose one of waveclus, locust"):
        datasets.fetch("moon")


@pytest.mark.parametrize(
    ("name", "folder", "renamed"),
    [
        ("locust", "locust", {}),
        ("openephys16", "openephys16/Record_Node_101", {}),
        ("ca1", "lfp", {"ca1.npy": "bycycle_ca1.npy"}),
        ("neurodsp", "lfp", {"sample_data_2.npy": "neurodsp_sample_data_2.npy"}),
    ],
)
def test_local_copies_of_the_catalogue(data, tmp_path, name, folder, renamed):
    source = data / folder
    for theirs, ours in renamed.items():
        source = tmp_path / theirs
        shutil.copyfile(data / folder / ours, source)
    fetched = datasets.fetch(name, tmp_path / "cache", source)
    dataset = next(d for d in datasets.catalogue() if d.name == name)
    for file in dataset.files:
        assert (fetched / file.name).stat().st_size == file.size
