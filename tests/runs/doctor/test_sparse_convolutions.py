from __future__ import annotations

import pytest

from cosense.runs.doctor.sparse_convolutions import check_spconv, installed_wheels, judged, wheel_for


@pytest.mark.parametrize(
    ("cuda", "wheel"),
    [
        (None, "spconv"),
        ("10.2", "spconv"),
        ("11.8", "spconv-cu118"),
        ("12.1", "spconv-cu121"),
        ("12.5", "spconv-cu124"),
        ("12.8", "spconv-cu126"),
        ("13.0", "spconv-cu126"),
    ],
)
def test_the_wheel_is_that_of_the_cuda(cuda: str | None, wheel: str) -> None:
    assert wheel_for(cuda) == wheel


@pytest.mark.parametrize(
    ("wheels", "cuda", "runs_on_gpu", "level", "found", "cure"),
    [
        ({}, None, False, "ok", "not installed", "optional: pip install spconv"),
        ({}, "12.6", False, "ok", "not installed", "optional: pip install spconv-cu126"),
        ({"spconv": "2.3.8"}, None, False, "ok", "spconv 2.3.8, for processors", ""),
        ({"spconv-cu126": "2.3.8"}, "12.6", True, "ok", "spconv-cu126 2.3.8, for GPUs", ""),
        (
            {"spconv": "2.3.8"},
            "12.4",
            False,
            "warn",
            "there is a GPU with CUDA 12.4",
            "pip uninstall spconv, then pip install spconv-cu124",
        ),
        (
            {"spconv": "2.3.8", "spconv-cu121": "2.3.8"},
            "12.1",
            True,
            "warn",
            "they overwrite each other",
            "pip uninstall spconv spconv-cu121, then pip install spconv-cu121",
        ),
        ({"spconv": "2.2.6"}, None, False, "warn", "older than 2.3.6", "pip install 'spconv>=2.3.6'"),
    ],
)
def test_what_is_installed_is_judged(
    wheels: dict[str, str], cuda: str | None, runs_on_gpu: bool, level: str, found: str, cure: str
) -> None:
    finding = judged(wheels, cuda, runs_on_gpu)
    assert (finding.name, finding.level, finding.cure) == ("spconv", level, cure)
    assert found in finding.found


def test_this_machine_is_judged_by_what_it_has() -> None:
    (finding,) = check_spconv()
    assert ("not installed" in finding.found) == (not installed_wheels())
