"""What happened when a plan was lived through: arrays by month, in the axes of the Plan."""

from __future__ import annotations

from dataclasses import dataclass

from exafleet.market.market import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One life of a plan. J jobs, H holders, T months, in the plan's order.

    draw       index of the draw that was lived through
    seed       of the failures
    progress   share of a training run done by the month's end; 0 for other jobs      [J, T]
    finish     when a run was done, from the plan's start; NaN when it was not        [J]    [s]
    waited     time a placed run stood still because its gang was not complete        [J]    [s]
    stops      failures that stopped a run                                            [J]
    lost       time lost to them: restart, repeated work and the checkpoints that limit it   [J] [s]
    served     work served, mean over the month; 0 for training                       [J, T] [work/s]
    installed  units standing at the month's end                                      [H, T]
    owned      chips standing, mean over the month                                    [H, T]
    used       of them used by their owner's jobs, mean over the month                [H, T]
    lent       of them used by others' jobs                                           [H, T]
    idle       of them used by nobody                                                 [H, T]
    late       units that stood later than planned because they are installed one by one, unit-days   [H]
    events     how many events were handled
    """

    draw: int
    seed: int
    progress: Floats
    finish: Floats
    waited: Floats
    stops: Ints
    lost: Floats
    served: Floats
    installed: Floats
    owned: Floats
    used: Floats
    lent: Floats
    idle: Floats
    late: Floats
    events: int
