"""Emulations of a sweep side by side, in processes that Ray places."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from crossgrid.kernels.errors import ConfigError

from ..errors import BackendError
from .points import Bench, Costed, accuracy_or_error
from .study import Study


def emulated(
    study: Study, points: Mapping[str, Costed], workers: int | None
) -> Iterator[tuple[str, float | None, str]]:
    """The accuracy or the error of each point, by its numbers, as they are done.

    Raises:
        BackendError: Ray is not installed, does not start, or lost a process.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ConfigError(f"workers = {workers!r} must be a number of at least 1")
    if importlib.util.find_spec("ray") is None:
        raise BackendError(
            "backend='ray' needs the package ray, which is not installed: pip install 'crossgrid[ray]', or "
            "use backend='local'"
        )
    import ray

    own = not ray.is_initialized()
    if own:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        yield from _done(ray, study, points, workers or int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if own:
            ray.shutdown()


class Worker:
    """A process that emulates one point after the other."""

    def __init__(self, study: Study) -> None:
        self.bench = Bench(study)

    def accuracy(self, costed: Costed) -> tuple[float | None, str]:
        """The point's accuracy, or its error."""
        return accuracy_or_error(self.bench, costed)


def _done(
    ray: Any, study: Study, points: Mapping[str, Costed], workers: int
) -> Iterator[tuple[str, float | None, str]]:
    """Each worker loads the model once and gets the next point when it is done with one."""
    handed, actor = ray.put(study), ray.remote(num_cpus=1)(Worker)
    idle = [actor.remote(handed) for _ in range(min(workers, len(points)))]
    waiting = list(points.items())
    running: dict[Any, tuple[str, Any]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                (numbers, costed), worker = waiting.pop(0), idle.pop()
                running[worker.accuracy.remote(costed)] = numbers, worker
            (done,), _ = ray.wait(list(running))
            numbers, worker = running.pop(done)
            yield numbers, *ray.get(done)
            idle.append(worker)
    except ray.exceptions.RayError as error:
        said = " ".join(str(error).split())
        raise BackendError(f"a process of the sweep was lost ({said:.200}); call it again") from None
