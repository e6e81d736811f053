"""How fast delta is, against the oracle, OpenCV and, on a GPU, CuPy; and how exact.

    python -m benchmarks.anatomy                  a table, and JSON under benchmarks/results
    python -m benchmarks.anatomy --exact=100000   measures of so many masks held to the oracle

All contenders judge the same masks in one run: perturbed rings for the most part, with open rings,
islands, holes and specks, as predictions have them. The oracle (SciPy and scikit-image) and OpenCV
run on one core, mask after mask. On a CPU, "all cores" splits the batch over one JAX device a core.
"""

import concurrent.futures
import importlib
import multiprocessing
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import ndimage

from acsnet_jax import anatomy
from acsnet_jax.app import use_compilation_cache
from acsnet_jax.types import InputError
from benchmarks import oracle, record
from benchmarks import random_masks as generators

SIZE = 128
SPACING_MM = 1.5
THRESHOLDS = anatomy.Thresholds(
    circularity_epi=0.8,
    circularity_endo=0.7,
    convexity_defect_mm=4.0,
    wall_min_mm=2.0,
    wall_max_mm=40.0,
)
MIX = (
    *[generators.ring] * 12,
    *[generators.open_ring] * 2,
    *[generators.with_islands] * 2,
    *[generators.with_holes] * 2,
    generators.with_specks,
)
DISTINCT = 4096
SLOW_CONTENDERS = 512  # masks that the oracle judges; its time a mask does not depend on how many
INTEGERS = ("objects", "holes", "is_ring", "hollow")
TOLERANCE = 1e-4  # relative; of millimetres at least 1e-3, of other measures 1e-5

_BATCHES = flags.DEFINE_list("batches", "1,4,16,64,256,1024,4096,16384,65536", "Masks at once.")
_EXACT = flags.DEFINE_integer("exact", 0, "Compare so many random masks with the oracle instead.")
flags.declare_key_flag("out")


def main(argv: list[str]) -> None:
    del argv
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    logging.set_verbosity(logging.WARNING)
    use_compilation_cache()
    if _EXACT.value:
        results, name = exactness(_EXACT.value), "anatomy_exactness"
    else:
        results, name = speed([int(batch) for batch in _BATCHES.value]), "anatomy"
    print(record.write(name, results, folder=record.OUT.value))


def speed(batches: list[int]) -> dict:
    """Masks per second of every contender, and ratios at each batch."""
    rng = np.random.default_rng(0)
    kinds = [MIX[k % len(MIX)] for k in range(DISTINCT)]
    masks = np.stack([kind(rng, (SIZE, SIZE)) for kind in kinds])
    slow = one_by_one(masks)
    rows = []
    for batch in batches:
        given = jnp.asarray(np.resize(masks, (batch, SIZE, SIZE)))
        rate = {name: batch / seconds for name, seconds in batched(given).items()}
        rows.append(
            {
                "batch": batch,
                "masks_per_second": rate,
                "memory_mib": record.program_mib(delta, given),
                "delta_over_oracle": rate["delta"] / slow["oracle"],
                "delta_over_opencv": rate["delta"] / slow["opencv delta"],
            }
        )
    names = [*rows[-1]["masks_per_second"]]
    print(f"{record.hardware()}: masks/s one by one: " + _listed(slow))
    record.print_table(
        ["batch", *names, "/oracle", "/OpenCV", "MiB"],
        [
            [
                row["batch"],
                *(row["masks_per_second"].get(name, "") for name in names),
                row["delta_over_oracle"],
                row["delta_over_opencv"],
                row["memory_mib"],
            ]
            for row in rows
        ],
    )
    valid = np.asarray(delta(jnp.asarray(masks)))
    return {
        "image_size": SIZE,
        "spacing_mm": SPACING_MM,
        "valid_share": float(valid.mean()),
        "one_by_one_masks_per_second": slow,
        "batches": rows,
    }


def delta(masks):
    return anatomy.is_valid(masks, (SPACING_MM, SPACING_MM), THRESHOLDS)


def measures(masks):
    return anatomy.measure(masks, (SPACING_MM, SPACING_MM))


def batched(masks: jax.Array) -> dict[str, float]:
    """Seconds of the batched contenders."""
    seconds = {
        "delta": record.best_seconds(lambda: delta(masks)),
        "measures": record.best_seconds(lambda: measures(masks)),
    }
    devices = jax.devices()
    if len(devices) > 1 and len(masks) % len(devices) == 0:
        mesh = jax.make_mesh((len(devices),), ("data",))
        each = P("data")
        spread = jax.jit(
            jax.shard_map(delta, mesh=mesh, in_specs=each, out_specs=each, check_vma=False)
        )
        shared = jax.device_put(masks, NamedSharding(mesh, each))
        seconds["delta, all cores"] = record.best_seconds(lambda: spread(shared))
    if jax.default_backend() == "gpu":
        seconds["CuPy label + distance"] = cupy_seconds(np.asarray(masks))
    return seconds


def one_by_one(masks: np.ndarray) -> dict[str, float]:
    """Masks per second of loops over masks; stops if a contender disagrees with delta."""
    contenders: dict[str, tuple[np.ndarray, Callable]] = {
        "oracle": (
            masks[:SLOW_CONTENDERS],
            lambda mask: oracle.is_valid(oracle.measures(mask, (SPACING_MM,) * 2), THRESHOLDS),
        )
    }
    try:
        opencv = importlib.import_module("benchmarks.opencv_delta")
        importlib.import_module("cv2").setNumThreads(1)
    except ModuleNotFoundError as error:
        raise InputError("OpenCV is missing: pip install -e '.[bench]'") from error
    bytes_ = masks.astype(np.uint8)
    contenders["opencv delta"] = (bytes_, lambda m: opencv.is_valid(m, SPACING_MM, THRESHOLDS))
    contenders["opencv measures"] = (bytes_, lambda m: opencv.measures(m, SPACING_MM))
    ours = np.asarray(delta(jnp.asarray(masks)))
    rates = {}
    for name, (given, judge) in contenders.items():
        start = time.perf_counter()
        found = [judge(mask) for mask in given]
        rates[name] = len(given) / (time.perf_counter() - start)
        if name != "opencv measures" and not np.array_equal(found, ours[: len(given)]):
            raise RuntimeError(f"{name} and delta disagree")
    return rates


def label_and_distance(masks, image_operators):
    """Components of masks and of their background, and one distance transform, slice by slice.

    Args:
        masks: ``[n, height, width]``, of NumPy or CuPy.
        image_operators: ``scipy.ndimage`` or ``cupyx.scipy.ndimage``.
    """
    eight = np.zeros((3, 3, 3), int)
    eight[1] = 1
    four = eight.copy()
    four[1] = ndimage.generate_binary_structure(2, 1)
    objects, _ = image_operators.label(masks, structure=eight)
    background, _ = image_operators.label(~masks, structure=four)
    # slices lie so far apart that the nearest pixel off the mask is one of the same slice
    far = float(sum(masks.shape[1:]))
    depth = image_operators.distance_transform_edt(masks, sampling=(far, 1.0, 1.0))
    return objects, background, depth


def cupy_seconds(masks: np.ndarray) -> float:
    """Seconds of CuPy for labelling and distances alone, without the other criteria."""
    cupy = importlib.import_module("cupy")
    operators = importlib.import_module("cupyx.scipy.ndimage")
    on_device = cupy.asarray(masks)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        label_and_distance(on_device, operators)
        cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def exactness(count: int) -> dict:
    """Holds measures of random masks of all kinds to the oracle; raises on a difference."""
    shapes = [(128, 128), (64, 64), (96, 96), (192, 192), (200, 160)]
    per_block = 20 * len(generators.KINDS)
    worst: dict[str, float] = {}
    done, seed = 0, 0
    spawn = multiprocessing.get_context("spawn")
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        while done < count:
            shape = shapes[seed % len(shapes)] if seed % 2 else shapes[0]
            masks = generators.random_masks(seed, per_block, shape)
            rng = np.random.default_rng(seed)
            spacing = np.exp(rng.uniform(-0.7, 1.0, (per_block, 2))).astype(np.float32)
            ours = anatomy.measure(jnp.asarray(masks), jnp.asarray(spacing))
            ours = {name: np.asarray(value) for name, value in ours._asdict().items()}
            theirs = pool.map(oracle.measures, masks, spacing, chunksize=per_block // (4 * workers))
            for index, expected in enumerate(theirs):
                for name, value in expected.items():
                    error = _error(name, ours[name][index], value)
                    worst[name] = max(worst.get(name, 0.0), error)
                    if error > (0 if name in INTEGERS else TOLERANCE):
                        raise RuntimeError(
                            f"seed {seed}, mask {index} of {shape}: {name} is {ours[name][index]}, "
                            f"the oracle says {value}"
                        )
            done += per_block
            seed += 1
    print(f"{done} masks agree with the oracle; largest relative errors:")
    for name, error in worst.items():
        print(f"  {name}: {error:.1e}")
    return {"masks": done, "shapes": shapes, "largest_relative_error": worst}


def _error(name: str, ours, expected) -> float:
    if np.isnan(expected) or np.isnan(ours):
        return 0.0 if np.isnan(expected) and np.isnan(ours) else float("inf")
    floor = 10.0 if name.endswith("_mm") else 0.1  # 1e-3 mm, and 1e-5 of what has no unit
    return abs(float(ours) - float(expected)) / max(abs(float(expected)), floor)


def _listed(rates: dict[str, float]) -> str:
    return ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())


if __name__ == "__main__":
    app.run(main)
