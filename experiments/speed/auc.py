"""Wall time of training until a detector reaches AUC 92 by the rule `std` on a real fold."""

from collections.abc import Iterator

from experiments.speed.side import Side, open_sides
from experiments.speed.tables import Row

AUC = 92.0
LIMIT = 180.0  # seconds of training


def measure(data: str) -> Iterator[Row]:
    """The default config against normflows' `image` Glow; looking at the AUC costs no time."""
    sides = {"flowasd": Side("experiments.speed.auc_ours:race_tasks", data)}
    sides |= open_sides({"normflows": "experiments.speed.auc_normflows:race_tasks"}, data)
    results = {name: race(side) for name, side in sides.items()}
    seconds, note = results["flowasd"]
    name = f"seconds_to_auc_{AUC:.0f}{note}"
    if "normflows" not in results:
        yield Row(name, seconds, "s")
        return
    theirs, note = results["normflows"]
    yield Row(name, seconds, "s", theirs, f"normflows{note}", theirs / seconds)


def race(side: Side) -> tuple[float, str]:
    """Seconds of training until the AUC is reached, or until time or training is over."""
    seconds, best = 0.0, 0.0
    while seconds < LIMIT and best < AUC:
        seconds += side.seconds("train")
        best = max(best, side.value("auc"))
        if side.value("ended"):
            break
    side.close()
    return seconds, "" if best >= AUC else f" (not reached: {best:.1f} at best)"
