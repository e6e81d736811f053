"""A run that dies again and again: ``python dying_runs.py WORKDIR MOMENT...``.

Every moment, ``EVENT=PATTERN``, is one process that trains on from where the last one left off and
kills itself, as from outside, right before its second event of that name (of Python's audit table)
whose last path matches the pattern. Prints the steps of the checkpoints after each death.
"""

import itertools
import json
import logging
import os
import pathlib
import re
import signal
import sys
import warnings

import tiny

from acsnet_jax.training.loop import train_and_evaluate

EPOCHS = 10


def main() -> None:
    workdir = pathlib.Path(sys.argv[1])
    cohort = tiny.make_cohort()
    config = tiny.make_config(**{"optimisation.epochs": EPOCHS})
    warnings.simplefilter("ignore")  # JAX warns of forks, though nothing of it has started
    logging.disable()
    for moment in sys.argv[2:]:
        child = os.fork()
        if not child:
            die_at(moment, workdir)
            train_and_evaluate(config, workdir, cohort=cohort)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (moment, status)
        steps = sorted(int(p.name) for p in workdir.glob("checkpoints/*") if p.name.isdigit())
        print(json.dumps(steps), flush=True)


def die_at(moment: str, workdir: pathlib.Path) -> None:
    """Kill this process at a moment."""
    name, pattern = moment.split("=", 1)
    count = itertools.count(1)

    def watch(event, arguments):
        if event != name:
            return
        paths = [os.fspath(x) for x in arguments if isinstance(x, str | os.PathLike)]
        inside = [path.removeprefix(f"{workdir}/") for path in paths if str(workdir) in path]
        if inside and re.fullmatch(pattern, inside[-1]) and next(count) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if __name__ == "__main__":
    main()
