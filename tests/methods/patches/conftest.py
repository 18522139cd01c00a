from __future__ import annotations

import pytest

from tests.cooperation.networks import PATCHES, cooperative
from tests.detectors.networks import cloud, frame_of


@pytest.fixture(scope="module")
def method():
    return cooperative(PATCHES).method


@pytest.fixture(scope="module")
def features(method):
    return method.detector.encode(frame_of(cloud()))
