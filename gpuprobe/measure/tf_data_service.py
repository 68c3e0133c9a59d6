"""A process of tf.data service: the dispatcher, which assigns work, or a server, which prepares batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpuprobe.backends.importing import uncollected

if TYPE_CHECKING:
    from gpuprobe.measure.event_log import EventLog
    from gpuprobe.records import Job

# The interval at which a server reports to the dispatcher: measured, a training waits that long for its first batch.
HEARTBEAT_MS = 100


def serve(job: Job, log: EventLog) -> None:
    """Serve in the job's role until this process is killed. It uses no GPU, since those are for the trainings."""
    with uncollected():
        import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    server = _service_server(job, tf.data.experimental.service)
    log.write("joined")
    server.join()


def _service_server(job: Job, service: Any) -> Any:
    if job.role == "dispatches":
        return service.DispatchServer(service.DispatcherConfig(port=int(job.service.rpartition(":")[2])))
    return service.WorkerServer(
        service.WorkerConfig(dispatcher_address=job.service, heartbeat_interval_ms=HEARTBEAT_MS)
    )
