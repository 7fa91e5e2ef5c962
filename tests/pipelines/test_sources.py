"""Sources: the hash decides, places are tried in order, and nothing partial is ever left."""

import errno
import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from drillyard.core.errors import SourceError, UsageError
from drillyard.core.settings import Settings
from pipelines import sources
from pipelines.places import DebianPackage, Http, PlaceUnavailable
from pipelines.sources import DataFile, Source

CONTENT = b"real data"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Has:
    """A place that has the given bytes and counts how often it is asked."""

    def __init__(self, content: bytes | Exception) -> None:
        self.content, self.asked = content, 0

    def __call__(self, url: str, output_file: str | Path, pooch_: object) -> None:
        self.asked += 1
        if isinstance(self.content, Exception):
            raise self.content
        Path(output_file).write_bytes(self.content)

    def __str__(self) -> str:
        return f"has {self.content!r}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    env = {"DRILLYARD_CACHE": str(tmp_path / "cache with space"), "DRILLYARD_HOME": str(tmp_path / "home")}
    return Settings.from_env(env, tmp_path)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch):
    def make(*places: Has, sha256: str | None = SHA256) -> None:
        made = Source(
            name="test-set",
            origin="a test",
            licence="none",
            files=(DataFile(name="rows.bin", sha256=sha256, places=places),),
        )
        monkeypatch.setattr(sources, "SOURCES", {"test-set": made})

    return make


def left_over(settings: Settings) -> list[Path]:
    return [path for path in settings.cache.rglob("*") if path.is_file()]


def test_next_place_is_tried_and_the_file_is_kept(source, settings) -> None:
    wrong, gone, right = Has(b"tampered"), Has(PlaceUnavailable("closed")), Has(CONTENT)
    source(wrong, gone, right)
    assert sources.fetch("test-set", settings)["rows.bin"].read_bytes() == CONTENT
    assert sources.fetch("test-set", settings)["rows.bin"].read_bytes() == CONTENT
    assert (wrong.asked, gone.asked, right.asked) == (1, 1, 1)


def test_wrong_hash_everywhere_names_file_and_remedy_and_leaves_nothing(source, settings) -> None:
    source(Has(b"tampered"))
    with pytest.raises(SourceError, match=r"(?s)rows\.bin.*--data-dir") as caught:
        sources.fetch("test-set", settings)
    assert SHA256 in str(caught.value)
    assert left_over(settings) == []


def test_full_disk_is_said_at_once(source, settings) -> None:
    other = Has(CONTENT)
    source(Has(OSError(errno.ENOSPC, "No space left on device")), other)
    with pytest.raises(SourceError, match=r"No space left.*\n.*DRILLYARD_CACHE"):
        sources.fetch("test-set", settings)
    assert other.asked == 0
    assert left_over(settings) == []


def test_a_damaged_cached_file_is_fetched_again(source, settings) -> None:
    place = Has(CONTENT)
    source(place)
    path = sources.fetch("test-set", settings)["rows.bin"]
    path.write_bytes(b"bit rot")
    assert sources.fetch("test-set", settings)["rows.bin"].read_bytes() == CONTENT
    assert place.asked == 2


def test_supplied_file_is_used_and_verified(source, settings, tmp_path) -> None:
    place = Has(CONTENT)
    source(place)
    by_hand = settings.model_copy(update={"data_dir": tmp_path / "mine"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rows.bin").write_bytes(CONTENT)
    assert sources.fetch("test-set", by_hand)["rows.bin"] == tmp_path / "mine" / "rows.bin"
    (tmp_path / "mine" / "rows.bin").write_bytes(b"another file")
    with pytest.raises(SourceError, match="expected " + SHA256):
        sources.fetch("test-set", by_hand)
    assert place.asked == 0


def test_unknown_dataset_names_the_known_ones(settings) -> None:
    with pytest.raises(UsageError, match="fashion-mnist"):
        sources.fetch("mnist", settings)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_http_place_unpacks_gzip(web, tmp_path, source, settings) -> None:
    import gzip

    (tmp_path / "web" / "rows.bin.gz").write_bytes(gzip.compress(CONTENT))
    source(Http(f"{web}/missing"), Http(f"{web}/rows.bin.gz", gzipped=True, progress=True))  # type: ignore[arg-type]
    assert sources.fetch("test-set", settings)["rows.bin"].read_bytes() == CONTENT


def test_debian_place_says_what_is_missing(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlaceUnavailable, match="apt-get or dpkg-deb"):
        DebianPackage("dataset-fashion-mnist", "x")("", tmp_path / "out", None)


def test_every_source_states_origin_and_licence() -> None:
    for item in sources.SOURCES.values():
        assert item.origin
        assert item.licence
