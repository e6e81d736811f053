"""Shape of an infarct scar in wall coordinates, for the phantom and for cine-to-LGE conversion.

Wall coordinates: the septal angle in degrees is 0 in the middle of the septum and grows towards the
anterior wall (90 anterior, 180 lateral, -90 inferior); the level is 0 at the apex and 1 at the
base; the wall depth is 0 at the endocardium and 1 at the epicardium. Host side, numpy.

References:
    Cerqueira et al. 2002, Standardized myocardial segmentation, Circulation 105: which artery
    feeds which segment. Reimer and Jennings 1979, The wavefront phenomenon: infarcts grow from the
    subendocardium outwards.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float

Territory = Literal["LAD", "RCA", "LCx"]

TERRITORIES: tuple[Territory, ...] = ("LAD", "RCA", "LCx")
_FREQUENCY = (0.45, 0.30, 0.25)
_CENTRE_DEG: dict[Territory, float] = {"LAD": 60.0, "RCA": -60.0, "LCx": 180.0}
_LEVEL: dict[Territory, tuple[float, float]] = {
    "LAD": (0.15, 0.60),
    "RCA": (0.40, 0.85),
    "LCx": (0.35, 0.75),
}
_RIM = 0.25  # share of the scar's half width over which its depth falls to zero


@dataclasses.dataclass(frozen=True)
class Scar:
    """One infarct: a patch of wall, scarred from the endocardium outwards.

    Attributes:
        territory: the coronary artery whose territory holds the scar.
        centre_deg: septal angle of its middle.
        half_width_deg: half of its angular width.
        level: level of its middle, 0 apex to 1 base.
        half_height: half of its extent along the levels.
        depth: greatest wall depth that is scarred; 1 and more is transmural.
        ripples: (amplitude, waves around the wall, waves along the levels, phase in radians) of
            the irregular border.
    """

    territory: Territory
    centre_deg: float
    half_width_deg: float
    level: float
    half_height: float
    depth: float
    ripples: tuple[tuple[float, int, int, float], ...]

    def eccentricity(
        self, angle_deg: Float[np.ndarray, "..."], level: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Normalised distance from the scar's middle: 0 there, 1 on its border.

        Args:
            angle_deg: septal angle.
            level: broadcastable to ``angle_deg``.
        """
        away_deg = (angle_deg - self.centre_deg + 180) % 360 - 180
        squared = np.square(away_deg / self.half_width_deg)
        squared = squared + np.square((level - self.level) / self.half_height)
        border = np.ones_like(squared)
        for amplitude, around, along, phase in self.ripples:
            wave = around * np.deg2rad(away_deg) + 2 * np.pi * along * level + phase
            border += amplitude * np.cos(wave)
        return np.sqrt(squared) / border

    def extent(
        self, angle_deg: Float[np.ndarray, "..."], level: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Wall depth down to which the wall is scarred, 0 outside of the scar, at most ``depth``.

        Args:
            angle_deg: septal angle.
            level: broadcastable to ``angle_deg``.
        """
        ramp = np.clip((1 - self.eccentricity(angle_deg, level)) / _RIM, 0, 1)
        return self.depth * ramp * ramp * (3 - 2 * ramp)


def sample_scar(rng: np.random.Generator, *, territory: Territory | None = None) -> Scar:
    """A random scar, from subendocardial (two fifths of the wall) to transmural.

    Args:
        rng: the only source of randomness.
        territory: the artery; drawn if None.
    """
    if territory is None:
        territory = TERRITORIES[int(rng.choice(len(TERRITORIES), p=_FREQUENCY))]
    ripples = tuple(
        (
            float(rng.uniform(0.03, 0.10)),
            int(rng.integers(2, 9)),
            int(rng.integers(0, 3)),
            float(rng.uniform(0, 2 * np.pi)),
        )
        for _ in range(4)
    )
    return Scar(
        territory=territory,
        centre_deg=_CENTRE_DEG[territory] + float(rng.uniform(-25, 25)),
        half_width_deg=float(rng.uniform(40, 90)),
        level=float(rng.uniform(*_LEVEL[territory])),
        half_height=float(rng.uniform(0.35, 0.8)),
        depth=float(rng.uniform(0.4, 1.3)),
        ripples=ripples,
    )
