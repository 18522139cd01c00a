"""ament_python package: what colcon installs beside the Python modules."""

from pathlib import Path

from setuptools import find_packages, setup


def share(folder: str) -> list[tuple[str, list[str]]]:
    """Return data_files entries that put `folder` below share/cosense, as `ros2 launch` expects."""
    entries: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            entries.setdefault(f"share/cosense/{path.parent}", []).append(str(path))
    return list(entries.items())


setup(
    packages=find_packages(include=["cosense", "cosense.*"]),
    package_data={"cosense": ["**/*.yaml", "**/*.xml", "**/*.html", "**/*.js", "**/*.css", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/cosense"]),
        ("share/cosense", ["package.xml"]),
        *share("launch"),
        *share("models"),
        *share("rviz"),
        # What `ros2 run cosense NAME` and launch files start. Not console scripts: a program called "player"
        # has no business in the bin/ of a virtual environment.
        ("lib/cosense", sorted(str(path) for path in Path("scripts").iterdir())),
    ],
    zip_safe=True,
)
