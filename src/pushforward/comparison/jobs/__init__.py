"""Many runs side by side: on the cores of this machine, or on a cluster, by joblib.

The unit of work is a `Job`: a plain function that is found by its name, and its arguments. It is
called with the bench of the comparison, which every worker gets once (`parcel`), and works in the
bench's folder:

    def trial(bench, run):
        fitted = bench.fit(run)
        return fitted.history[-2]["chosen_by"]

    site = find_site(n_jobs, fits=20)
    with opened(bench, site) as engine:
        jobs = (Job(f"trial {i}", trial, arguments(i), run=f"trials/{i}") for i in range(20))
        for job, value in engine.run(jobs):  # as they are ready
            ...

Jobs are taken from the iterable when there is room for them, so that it may wait for what earlier
ones gave. A job runs with `site.threads` threads wherever it runs, alone in its process: its result
depends neither on the number of jobs nor on what runs beside it. What it leaves in its run's folder
is all that another attempt needs to go on, after its worker has died.

Which engine does the work is said by `joblib.parallel_config`: "loky" (processes, the default),
"ray" or "dask".
"""

from pushforward.comparison.jobs.engine import Engine, opened
from pushforward.comparison.jobs.site import Site, find_site, require_jobs
from pushforward.comparison.jobs.work import Job

__all__ = ["Engine", "Job", "Site", "find_site", "opened", "require_jobs"]
