"""Names that a design may refer to: drills and faults, metrics, tests."""

from designs.evidence import ROOT
from loadtests.catalogue import drills as catalogue
from serving import catalogue as exported


def drills() -> frozenset[str]:
    """Every drill of the catalogue, faults among them."""
    return frozenset(catalogue.CATALOGUE)


def metrics() -> frozenset[str]:
    """Every metric that the server exports."""
    return frozenset(metric.exposed_name for metric in exported.ALL)


def has_test(name: str) -> bool:
    """Whether `tests/folder/test_file.py::test_name` exists."""
    path, _, function = name.partition("::")
    file = ROOT / path
    return file.is_file() and f"def {function}(" in file.read_text()
