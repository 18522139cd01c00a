"""Bodies of road users as triangles, with the label box as their tight hull and a front unlike the rear.

The shapes are in `road_users`, one file for a kind. Annotators draw the box around the body without mirrors,
and around a person with all that it carries, but without what rolls or walks beside it; so do we.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cosense.geometry.transforms import Matrix
from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.mesh import STATIC, Mesh, join
from cosense.simulation.scenes.road_users.cars import car
from cosense.simulation.scenes.road_users.commercial import bus, truck, van
from cosense.simulation.scenes.road_users.parts import Built
from cosense.simulation.scenes.road_users.people import person
from cosense.simulation.scenes.road_users.two_wheelers import cyclist, motorcyclist, tricyclist

_BUILDERS: dict[ObjectClass, Callable[[np.random.Generator], Built]] = {
    ObjectClass.CAR: car,
    ObjectClass.VAN: van,
    ObjectClass.TRUCK: truck,
    ObjectClass.BUS: bus,
    ObjectClass.PEDESTRIAN: person,
    ObjectClass.CYCLIST: cyclist,
    ObjectClass.TRICYCLIST: tricyclist,
    ObjectClass.MOTORCYCLIST: motorcyclist,
}
# Classes that a scene can have.
LABELS = tuple(_BUILDERS)


@dataclass(frozen=True)
class Body:
    """The shape of a road user.

    Attributes:
        label: class of the road user.
        size: length, width and height of the label box in metres.
        mesh: triangles in the frame of the body: the origin lies on the ground under the middle of the box, x
            along the heading. Mirrors, and what rolls or walks beside a person, reach out of the box and are
            owned by the surroundings.
    """

    label: ObjectClass
    size: tuple[float, float, float]
    mesh: Mesh

    def standing(self, T_scene_body: Matrix, row: int) -> Mesh:
        """Return the mesh at a pose (4,4), with what the label box encloses owned by an actor's row."""
        mesh = self.mesh.placed(T_scene_body)
        return replace(mesh, owner=np.where(mesh.owner == STATIC, mesh.owner, np.int32(row)))

    def towing(self, trailer: Mesh) -> Body:
        """Return the body with a trailer behind it, which its label box leaves out.

        Args:
            trailer: its drawbar ends where it reaches farthest along x.
        """
        end = -self.size[0] / 2 - float(trailer.vertices[:, 0].max())
        behind = trailer.at(end, 0.0)
        return replace(self, mesh=join([self.mesh, replace(behind, local=behind.vertices)]))


def make_body(label: ObjectClass, rng: np.random.Generator) -> Body:
    """Draw size, build and colour of a road user of one of `LABELS`.

    Raises:
        KeyError: no scene has road users of this class.
    """
    built = _BUILDERS[label](rng)
    vertices = built.hull.vertices.astype(np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    size = high - low if built.size is None else np.array(built.size)
    stretch = size / (high - low)
    # The box stands on the ground, with its middle above the origin.
    foot = np.array([*(low[:2] + high[:2]) / 2, low[2]])
    T_body_built = np.diag([*stretch, 1.0])
    T_body_built[:3, 3] = -stretch * foot
    hull = built.hull.owned_by(0)
    whole = hull if built.outside is None else join([hull, built.outside])
    mesh = whole.placed(T_body_built)
    size_m = (float(size[0]), float(size[1]), float(size[2]))
    return Body(label, size_m, replace(mesh, local=mesh.vertices))
