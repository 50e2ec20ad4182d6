"""Where jobs run: in this process, or as tasks of a Ray. Nothing else imports Ray.

contract     what an executor is, and what a run needs of one
options      the `ray` section of the config
cpus, gpus   what this machine has of both
inline       in this process
tasks        as Ray tasks: handed out, watched, done again
  flights    jobs on their way, each with one worker or several
  own        a Ray of the run's own on this machine
  joined     a cluster that is there already
  preflight  what must hold of every node, judged; `probes` asks them
  nodes      which nodes there are
  retries    what is done again, how often
  remote     what runs in the workers
  connecting Ray itself
"""

from functools import partial

from pipeline.executor.contract import Executor, Needs, Tell
from pipeline.executor.cpus import available_cpus
from pipeline.executor.gpus import expects_gpus
from pipeline.executor.inline import InlineExecutor
from pipeline.executor.options import RayOptions, by_stage, check_options, demand

__all__ = [
    "NO_NEEDS",
    "Executor",
    "InlineExecutor",
    "Needs",
    "RayOptions",
    "Tell",
    "available_cpus",
    "by_stage",
    "check_options",
    "demand",
    "expects_gpus",
    "start",
]


NO_NEEDS = Needs()


def start(options: RayOptions, tell: Tell, needs: Needs = NO_NEEDS) -> Executor:
    """Return the executor that the options ask for, started.

    Args:
        options: Where the tasks run.
        tell: Told what the tasks report, and what befell them.
        needs: What the run needs of the machines.

    Raises:
        ConfigError: The cluster cannot do this run; the message has a line for every fault. Nothing was begun.
        StageError: A Ray cannot be started here.
    """
    if options.address == "inline":
        return InlineExecutor(tell)
    # Late: a run with nothing to do needs none of it.
    from pipeline.executor.joined import JoinedRay  # noqa: PLC0415
    from pipeline.executor.own import OwnRay  # noqa: PLC0415
    from pipeline.executor.tasks import RayExecutor  # noqa: PLC0415

    if options.is_joined:
        return RayExecutor(partial(JoinedRay, options.address, needs.modules), options, needs, tell)
    return RayExecutor(partial(OwnRay, options.cpus or available_cpus()), options, needs, tell)
