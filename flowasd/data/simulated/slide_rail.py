"""The simulated slide rail: the movement of its carriage, its sounds, and its faults.

A fault changes the parameters of the machine; no sound is mixed in. A loose belt, for example,
makes the speed ripple, and every sound that depends on the speed ripples too.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

SAMPLE_RATE = 16000
N_SAMPLES = 10 * SAMPLE_RATE
TIME = np.arange(N_SAMPLES) / SAMPLE_RATE
# Hz; never 0, because some formulas divide by it.
FREQUENCY = np.maximum(np.fft.rfftfreq(N_SAMPLES, 1 / SAMPLE_RATE), 1.0).astype(np.float32)

CAUSES = ("rail damage", "loose belt", "no grease", "motor load")

_RAMP = 0.25  # share of a stroke for speeding up; slowing down takes as long
_CORNER = 700.0  # Hz; dull sounds lie below, bright ones above
_SHARPNESS = 12.0  # quality factor of the frame's resonances


@dataclass(frozen=True)
class SlideRail:
    """One machine. Levels are amplitudes; the factory noise has an RMS of 1.

    Attributes:
        strokes: Duration of the way out and of the way back, in seconds.
        rest: Rest after each stroke, in seconds.
        whine: Fundamental frequency of the motor at top speed on the way out, in Hz.
        harmonics: Level of each multiple of that frequency, from the fundamental on.
        resonances: Resonances of the frame, in Hz.
        rolling: Level of the dull noise, which is proportional to the speed.
        hiss: Level of the bright noise, which is proportional to the square of the speed.
        thud: Level of the sound at the end stops.
        ripple: Relative unevenness of the speed.
        knock: Level of the sound that the rollers make at a damaged place of the rail.
        knock_at: Position of the damaged place, as a fraction of the way out.
        slap: Level of the belt's slap when the carriage speeds up or slows down.
        squeal: Level of the squeal of dry rails.
    """

    strokes: tuple[float, float]
    rest: float
    whine: float
    harmonics: tuple[float, ...]
    resonances: tuple[float, ...]
    rolling: float
    hiss: float
    thud: float
    ripple: float = 0.004
    knock: float = 0.0
    knock_at: float = 0.5
    slap: float = 0.0
    squeal: float = 0.0


RAILS = {
    "id_00": SlideRail(
        strokes=(1.7, 1.7),
        rest=0.9,
        whine=310.0,
        harmonics=(0.06, 0.16, 0.04, 0.10, 0.06, 0.02, 0.04, 0.02),
        resonances=(480.0, 1900.0, 5200.0),
        rolling=0.8,
        hiss=0.2,
        thud=1.5,
    ),
    "id_02": SlideRail(
        strokes=(3.1, 2.2),
        rest=0.3,
        whine=430.0,
        harmonics=(0.12, 0.04, 0.08, 0.02, 0.04, 0.02, 0.02, 0.02),
        resonances=(350.0, 1300.0, 2600.0),
        rolling=0.6,
        hiss=0.12,
        thud=2.0,
    ),
    "id_04": SlideRail(
        strokes=(0.75, 0.55),
        rest=0.45,
        whine=880.0,
        harmonics=(0.02, 0.04, 0.10, 0.12, 0.15, 0.10, 0.08, 0.04),
        resonances=(620.0, 3100.0, 4700.0),
        rolling=0.8,
        hiss=0.25,
        thud=1.5,
    ),
    "id_06": SlideRail(
        strokes=(0.6, 0.6),
        rest=0.6,
        whine=640.0,
        harmonics=(0.06, 0.02, 0.04, 0.04, 0.02, 0.04, 0.02, 0.02),
        resonances=(540.0, 2300.0, 6400.0),
        rolling=0.7,
        hiss=0.35,
        thud=2.5,
    ),
}


def damage(rail: SlideRail, fault: str, severity: float, place: float) -> SlideRail:
    """Returns the machine with a fault.

    Args:
        rail: The machine.
        fault: Cause of the fault, one of `CAUSES`.
        severity: Severity of the fault; 0 is a healthy machine, 1 the worst fault.
        place: Position of a damaged place of the rail, as a fraction of the way out, from 0.2 to
            0.8. Only "rail damage" uses it.
    """
    if fault == "rail damage":
        return replace(rail, knock=5.0 * severity, knock_at=place)
    if fault == "loose belt":
        return replace(rail, ripple=rail.ripple + 0.25 * severity, slap=7.0 * severity)
    if fault == "no grease":
        return replace(rail, hiss=rail.hiss * (1 + 2.0 * severity), squeal=0.5 * severity)
    if fault == "motor load":
        slower = 1 + 0.2 * severity
        # Load saturates the motor: the fundamental and the odd multiples grow.
        louder = np.where(np.arange(len(rail.harmonics)) % 2 == 0, 1 + 1.5 * severity, 1.0)
        return replace(
            rail,
            strokes=(rail.strokes[0] * slower, rail.strokes[1] * slower),
            whine=rail.whine / slower,
            harmonics=tuple((louder * rail.harmonics).tolist()),
        )
    raise ValueError(f"unknown fault {fault!r}; one of {', '.join(CAUSES)}")


def vary(rail: SlideRail, rng: np.random.Generator) -> SlideRail:
    """Returns the machine with small random changes of pace and levels, as on another day."""
    pace, rest = rng.lognormal(sigma=0.02, size=2).tolist()
    rolling, hiss, thud, motor = rng.lognormal(sigma=0.15, size=4).tolist()
    return replace(
        rail,
        strokes=(rail.strokes[0] / pace, rail.strokes[1] / pace),
        rest=rail.rest * rest,
        whine=rail.whine * pace,
        harmonics=tuple(motor * level for level in rail.harmonics),
        rolling=rail.rolling * rolling,
        hiss=rail.hiss * hiss,
        thud=rail.thud * thud,
    )


def rail_sound(rail: SlideRail, rng: np.random.Generator) -> Float[np.ndarray, " samples"]:
    """Simulates ten seconds of one machine, without the noise of the factory."""
    starts, durations, outward = _strokes(rail, rng)
    speed = _speed(rail, starts, durations, rng)
    place = np.where(outward, rail.knock_at, 1 - rail.knock_at)
    # The carriage's four rollers pass the damaged place one after the other.
    passing = _RAMP / 2 + place * (1 - _RAMP) + 0.04 * np.arange(4)[:, np.newaxis]
    slapping = np.array([[0.1], [0.9]])  # while speeding up and slowing down
    rough = rng.standard_normal((2, N_SAMPLES), dtype=np.float32)
    dull = (
        rail.rolling * speed * rough[0]
        + _bursts(starts + durations, rail.thud, 0.02, rng)
        + _bursts(starts + durations * slapping, rail.slap, 0.06, rng)
    )
    bright = rail.hiss * speed**2 * rough[1]
    bright += _bursts(starts + durations * passing, rail.knock, 0.02, rng)
    tonal = _whine(rail, speed) + _squeal(rail, speed, rng)

    dull, bright, tonal = np.fft.rfft(np.stack([dull, bright, tonal]))
    low_pass = 1 / (1 + 1j * FREQUENCY / _CORNER)
    # The direct sound, and a second-order band pass for each resonance.
    frame = 1 + sum(
        2 / (1 + 1j * _SHARPNESS * (FREQUENCY / resonance - resonance / FREQUENCY))
        for resonance in rail.resonances
    )
    spectrum = frame * (low_pass * dull + (1 - low_pass) * bright + tonal)
    return np.fft.irfft(spectrum, N_SAMPLES)


def harmonic_sum(
    cycles: Float[np.ndarray, " samples"], levels: Float[np.ndarray, " harmonic"]
) -> Float[np.ndarray, " samples"]:
    """Returns the sum of a tone's multiples, from its phase in cycles and all amplitudes."""
    angle = (2 * np.pi * (cycles % 1)).astype(np.float32)
    turn = np.cos(angle) + 1j * np.sin(angle)
    # The phasor of a multiple is a power of the fundamental's, so the sum is a polynomial in it.
    return np.polyval(np.append(levels[::-1], 0).astype(np.float32), turn).imag


def wander(rng: np.random.Generator, rate: float) -> Float[np.ndarray, " samples"]:
    """Returns a random curve with a variance of about 1 that turns about `rate` times a second."""
    knots = rng.standard_normal(int(10 * rate) + 2)
    return np.interp(TIME * rate, np.arange(len(knots)), knots).astype(np.float32)


def _strokes(
    rail: SlideRail, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " stroke"], Float[np.ndarray, " stroke"], Bool[np.ndarray, " stroke"]]:
    """Draws the start and the duration of every stroke in seconds, and whether it goes outward."""
    cycle = sum(rail.strokes) + 2 * rail.rest
    outward = np.arange(2 * int(TIME[-1] / cycle) + 4) % 2 == 0
    jitter = rng.normal(1, 0.01, size=len(outward))
    durations = np.where(outward, *rail.strokes) * jitter
    # The recording begins at a random time in the first cycle.
    starts = np.cumsum(durations + rail.rest) - durations - rail.rest - cycle * rng.uniform()
    return starts, durations, outward


def _speed(
    rail: SlideRail,
    starts: Float[np.ndarray, " stroke"],
    durations: Float[np.ndarray, " stroke"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    """Speed over the normal top speed outward: a trapezium for each stroke, with a ripple."""
    stroke = np.searchsorted(starts, TIME, side="right") - 1
    elapsed = (TIME - starts[stroke]) / durations[stroke]
    trapezium = np.clip(np.minimum(elapsed, 1 - elapsed) / _RAMP, 0, 1)
    belt = np.sin(2 * np.pi * 7 * TIME + 2 * wander(rng, 2.0))
    speed = trapezium * (rail.strokes[0] / durations[stroke]) * (1 + rail.ripple * belt)
    return speed.astype(np.float32)


def _whine(rail: SlideRail, speed: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Sound of the motor: multiples of a frequency that is proportional to the speed."""
    cycles = np.cumsum(speed, dtype=np.float64) * (rail.whine / SAMPLE_RATE)
    return np.sqrt(speed) * harmonic_sum(cycles, np.array(rail.harmonics))


def _squeal(
    rail: SlideRail, speed: Float[np.ndarray, " samples"], rng: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """Sound of dry rails: a tone of wandering pitch that comes and goes as the carriage moves."""
    if rail.squeal == 0:  # most machines are greased; saves a seventh of the time
        return np.zeros_like(speed)
    pitch = 2400 * (1 + 0.05 * wander(rng, 5.0)) * (0.9 + 0.1 * speed)
    cycles = np.cumsum(pitch, dtype=np.float64) / SAMPLE_RATE
    gate = np.maximum(wander(rng, 4.0), 0) * speed
    return gate * harmonic_sum(cycles, np.array([rail.squeal, 0.3 * rail.squeal]))


def _bursts(
    times: Float[np.ndarray, "*burst"], level: float, decay: float, rng: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """Bursts of noise at the given times, of random strength; `decay` is their time constant."""
    sound = np.zeros(N_SAMPLES, np.float32)
    envelope = np.exp(-np.arange(int(8 * decay * SAMPLE_RATE)) / (decay * SAMPLE_RATE))
    for time in times[(times >= 0) & (times < TIME[-1])]:
        at = sound[int(time * SAMPLE_RATE) :][: len(envelope)]
        strength = level * rng.lognormal(sigma=0.3)
        at += strength * (envelope * rng.standard_normal(len(envelope)))[: len(at)]
    return sound
