"""Simulation, bootstrap, power (layer 7)."""

from __future__ import annotations


class SimulationVerbs:
    """Simulation, bootstrap, power; mixed into `LmerFit`."""

    __slots__ = ()
