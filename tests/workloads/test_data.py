"""The training images: the synthetic set, CIFAR-10's archives, and all that can be wrong with a file or a network."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import socket
import struct
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuprobe.errors import InputError
from gpuprobe.workloads import archive, data
from gpuprobe.workloads import download as transfer
from gpuprobe.workloads.arrays import load_arrays, save_arrays
from gpuprobe.workloads.cifar import learning_rate
from gpuprobe.workloads.download import DownloadError, download
from gpuprobe.workloads.synthetic import synthetic

# A batch as it is published, and one of fewer images, which says the same of all that is read.
PUBLISHED, FEW = archive.BATCH_IMAGES, 100
LABELS = [index % 10 for index in range(FEW)]
NAMES = (*archive.TRAIN_BATCHES, archive.TEST_BATCH)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BATCH_IMAGES", FEW)


def images_of(count: int) -> np.ndarray:
    return (np.arange(count * archive.IMAGE_BYTES) % 251).astype(np.uint8).reshape(count, archive.IMAGE_BYTES)


def pickled(count: int = FEW) -> bytes:
    return pickle.dumps({b"data": images_of(count), b"labels": [index % 10 for index in range(count)]}, protocol=2)


def pickled_by_python_2() -> bytes:
    """Write a batch with the opcodes of the published files: byte strings throughout, and no `_codecs.encode`."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    images = images_of(FEW).tobytes()
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS) + b"e"
    shape = b"M" + struct.pack("<H", FEW) + b"M" + struct.pack("<H", archive.IMAGE_BYTES) + b"\x86"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R(K\x01" + shape
    array += dtype + b"K\x00tb\x89T" + struct.pack("<i", len(images)) + images + b"tb"
    return b"\x80\x02}(" + text(b"labels") + labels + text(b"data") + array + b"u."


def packed() -> bytes:
    labels = np.array(LABELS, np.uint8)[:, None]
    return np.concatenate([labels, images_of(FEW)], axis=1).tobytes()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def any_md5(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let archives made here pass for the published ones; what is behind the checksum is what is tested."""
    monkeypatch.setattr(archive, "check_md5", lambda path: None)


def test_synthetic_has_the_shape_of_cifar_and_comes_from_the_seed() -> None:
    made = synthetic(3, "why", train=2000, test=100)
    again = synthetic(3, "why", train=2000, test=100)
    other = synthetic(4, "why", train=2000, test=100)
    assert made.x.shape == (2000, 32, 32, 3)
    assert made.x.dtype == np.uint8
    assert set(made.y.tolist()) == set(range(10))
    assert np.array_equal(made.x, again.x)
    assert not np.array_equal(made.x, other.x)
    means = np.array([made.x[made.y == label].mean(axis=(0, 1, 2)) for label in range(10)])
    assert np.ptp(means, axis=0).max() < 4, "a class must not be told by its colour alone"


def test_of_the_synthetic_set_no_more_is_made_than_was_asked_for() -> None:
    few = data.find("synthetic", seed=0, samples=10)
    assert (len(few.x), len(few.x_test)) == (10, 2)
    assert len(data.find("synthetic", seed=0, samples=1).x_test) == 1


def test_mean_is_that_of_the_scaled_training_images() -> None:
    made = synthetic(0, "why", train=1500, test=10)
    assert made.mean.dtype == np.float32
    assert np.allclose(made.mean, (made.x / 255.0).mean(axis=0), atol=1e-6)


def test_arrays_survive_the_way_to_a_worker(tmp_path: Path) -> None:
    made = synthetic(0, "a sentence, with a comma", train=50, test=10)
    save_arrays(made, tmp_path)
    loaded = load_arrays(tmp_path)
    assert np.array_equal(loaded.x, made.x)
    assert np.array_equal(loaded.y_test, made.y_test)
    assert (loaded.classes, loaded.name, loaded.source) == (10, made.name, made.source)


def test_schedule_is_the_examples() -> None:
    rates = [learning_rate(epoch) for epoch in (0, 80, 81, 121, 161, 181)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-6, 0.5e-6])


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize(
    ("suffix", "content"),
    [("", pickled()), ("", pickled_by_python_2()), (".bin", packed())],
    ids=["python", "python 2", "binary"],
)
def test_both_versions_read_alike(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tar(tmp_path / "cifar.tar.gz", {f"cifar-10/{name}{suffix}": content for name in NAMES})
    found = archive.read(path)
    assert found.x.shape == (5 * FEW, 32, 32, 3)
    assert found.x_test.shape == (FEW, 32, 32, 3)
    # The files hold each image channel by channel: the second value of a picture's first pixel is 1,024 bytes on.
    assert found.x[0, 0, 0].tolist() == [0, 1024 % 251, 2048 % 251]
    assert found.y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_a_batch_of_the_published_size_is_no_more_than_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BATCH_IMAGES", PUBLISHED)
    content = pickled(PUBLISHED)
    assert len(content) <= archive.MAX_MEMBER_BYTES
    x, y = archive._from_pickle(content, "data_batch_1")
    assert (x.shape, y.shape) == ((10_000, 32, 32, 3), (10_000,))


def test_a_folder_reads_as_its_archive_does(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(pickled())
    assert archive.read(tmp_path).name == "CIFAR-10"
    assert archive.read(folder).x.shape == (5 * FEW, 32, 32, 3)


def test_an_archive_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "cifar.tar.gz", {"x": b"y"})
    with pytest.raises(InputError, match="not CIFAR-10's published archive"):
        archive.read(path)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    for name in NAMES:
        (tmp_path / name).write_bytes(pickle.dumps({b"data": Hostile(), b"labels": LABELS}))
    with pytest.raises(InputError, match=r"data_batch_1.*system: refused.*download CIFAR-10 again"):
        archive.read(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("opcode", [b"r" + struct.pack("<I", 2**31 - 1), b"p2147483647\n"], ids=["binary", "text"])
def test_a_pickle_that_would_take_all_memory_is_refused(tmp_path: Path, opcode: bytes) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02K\x01" + opcode + b".")
    with pytest.raises(InputError, match="room for 2,147,483,647 objects: refused"):
        archive.read(tmp_path)


def test_an_unreadable_batch_in_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    # Reading a process's memory at 0 is an input/output error, for root too.
    (tmp_path / "data_batch_1").symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match=r"cannot be read \(Input/output error\)"):
        archive.read(tmp_path)


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize(
    "members",
    [
        {},
        {f"c/{name}": b"" for name in NAMES},
        {f"c/{name}.bin": packed()[:-1] for name in NAMES},
        {f"../../{name}": b"cos\nsystem\n(S'true'\ntR." for name in NAMES},
    ],
    ids=["nothing", "empty", "one byte short", "escaping and hostile"],
)
def test_wrong_members_are_one_clear_line(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = tar(tmp_path / "cifar.tar.gz", members)
    with pytest.raises(InputError) as caught:
        archive.read(path)
    assert "\n" not in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cifar.tar.gz"]


@pytest.mark.usefixtures("any_md5")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=400), cut=st.integers(0, 400))
def test_no_bytes_crash_the_reader(tmp_path: Path, content: bytes, cut: int) -> None:
    whole = tar(tmp_path / "w.tar.gz", {f"c/{name}": content for name in NAMES}).read_bytes()
    path = tmp_path / "damaged.tar.gz"
    path.write_bytes(whole[:cut] + content + whole[cut:])
    with pytest.raises(InputError):
        archive.read(path)


@pytest.mark.parametrize("choice", ["/nowhere/cifar.tar.gz", "nowhere", "~nobody-of-that-name/cifar.tar.gz"])
def test_a_path_that_is_not_there_is_one_clear_line(choice: str) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        data.find(choice, seed=0)


def test_a_path_that_no_file_can_have_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        data.find("x" * 5000, seed=0)


def answer(reply: bytes, *, again: bytes = b"", pause_s: float = 0.0) -> str:
    """Serve one connection, byte for byte: the reply, then `again` without end where given."""
    listening = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        with listening, listening.accept()[0] as connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(reply)
            while again:
                connection.sendall(again)
                time.sleep(pause_s)

    threading.Thread(target=talk, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/x"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"SSH-2.0 of another service\r\n\r\n", "failed .SSH-2.0"),
        (b"HTTP/1.1 404 Gone\r\n\r\n", "failed .Gone"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc", "failed .IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nabc", "not all of it"),
    ],
    ids=["not HTTP", "not there", "broken off", "cut short"],
)
def test_a_server_that_lies_is_told_in_one_line(tmp_path: Path, reply: bytes, told: str) -> None:
    with pytest.raises(DownloadError, match=told) as caught:
        download(tmp_path / "c.tar.gz", 20, answer(reply))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_ends_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "MAX_BYTES", 2**20)
    with pytest.raises(DownloadError, match="more came than the archive holds"):
        download(tmp_path / "c.tar.gz", 60, answer(b"HTTP/1.1 200 OK\r\n\r\n", again=bytes(2**16)))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_drips_is_left_in_time(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="did not end within 1 s"):
        download(tmp_path / "c.tar.gz", 1, answer(b"HTTP/1.1 200 OK\r\n\r\n", again=b"x", pause_s=0.05))
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join(30)
            assert not thread.is_alive(), "an abandoned transfer must not go on beside the study"
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_never_resolves_does_not_hang_us(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    resolved = threading.Event()

    def resolve(*words: object, **options: object) -> list[object]:
        resolved.wait(60)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(transfer, "ANSWER_S", 0.2)
    with pytest.raises(DownloadError, match="did not answer"):
        download(tmp_path / "c.tar.gz", 600, "http://name.invalid/x")
    assert not resolved.is_set()
    resolved.set()
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_right_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = b"for once the archive"
    monkeypatch.setattr(archive, "MD5", {"c.tar.gz": hashlib.md5(content).hexdigest()})
    kept = download(tmp_path / "new" / "c.tar.gz", 20, answer(b"HTTP/1.1 200 OK\r\n\r\n" + content))
    assert kept.read_bytes() == content
    assert list(kept.parent.iterdir()) == [kept]


def serve(reply: bytes, *, until: threading.Event | None = None) -> tuple[HTTPServer, str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply)
            self.wfile.flush()
            if until is not None:
                until.wait()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/x"


def test_a_download_of_something_else_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    server, url = serve(b"not an archive")
    with pytest.raises(DownloadError, match="MD5"):
        download(tmp_path / "c.tar.gz", 20, url)
    server.shutdown()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_stalls_does_not_hang_us(tmp_path: Path) -> None:
    stalled = threading.Event()
    server, url = serve(b"begin", until=stalled)
    with pytest.raises(DownloadError, match=r"did not end|failed"):
        download(tmp_path / "c.tar.gz", 1, url)
    stalled.set()
    threading.Thread(target=server.shutdown, daemon=True).start()


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
    with pytest.raises(DownloadError, match="failed"):
        download(tmp_path / "c.tar.gz", 10, url)


def test_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def no_network(target: Path, within_s: float) -> Path:
        raise DownloadError("the download failed (no network)")

    monkeypatch.setattr(data, "download", no_network)
    found = data.find("auto", seed=0, samples=100)
    assert found.name.startswith("synthetic")
    assert "no network" in found.source
    assert len(found.x) == 100
    with pytest.raises(InputError, match="no network"):
        data.find("cifar10", seed=0)


def test_keras_cache_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    folder = tmp_path / "datasets" / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes(pickled())
    assert data.find("auto", seed=0).name == "CIFAR-10"


@pytest.mark.usefixtures("any_md5")
@pytest.mark.parametrize("name", ["cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz"])
def test_the_archive_that_keras_keeps_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    (tmp_path / "datasets").mkdir()
    content = pickled()
    tar(tmp_path / "datasets" / name, {f"cifar-10-batches-py/{batch}": content for batch in NAMES})
    assert data.find("cifar10", seed=0).source == f"CIFAR-10 from {name}: its MD5 is the published one."


def test_a_user_without_a_home_gets_the_synthetic_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_HOME", raising=False)
    # What expanduser gives in a container whose user is a bare number.
    monkeypatch.setattr("os.path.expanduser", lambda path: path)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    found = data.find("auto", seed=0, samples=10)
    assert found.name.startswith("synthetic")
    assert "set XDG_CACHE_HOME" in found.source
