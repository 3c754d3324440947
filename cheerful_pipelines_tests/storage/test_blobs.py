"""A folder for blobs that cannot be used now is a failure that passes, wherever it is met."""

from pathlib import Path

import dagster as dg
import pytest

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.orchestration.failures import run_failure
from cheerful_pipelines.storage.blobs import BlobStore


def _in_the_way(path: Path) -> Path:
    path.write_text("a file where the mount should be")
    return path


def test_a_folder_that_cannot_be_made_is_transient_and_works_after_the_repair(tmp_path: Path) -> None:
    blocked = _in_the_way(tmp_path / "blobs")
    for folder in (blocked, blocked / "below"):
        with pytest.raises(TransientError, match="cannot be used"):
            BlobStore.from_url(f"file://{folder}")
    blocked.unlink()

    store = BlobStore.from_url(f"file://{blocked}")

    assert store.get(store.put(b"a mail")) == b"a mail"


@pytest.mark.parametrize("error", [None, FileExistsError, PermissionError, NotADirectoryError, ConnectionResetError])
def test_a_run_whose_resources_meet_it_is_retried_soon(tmp_path: Path, error: type[OSError] | None) -> None:
    """Resources are made outside the body that classifies errors; seen in a drill: the units waited as for a bug."""

    def resource(_context: dg.InitResourceContext) -> BlobStore:
        if error is not None:
            raise error("away")
        return BlobStore.from_url(f"file://{_in_the_way(tmp_path / 'blobs')}")

    @dg.op(required_resource_keys={"blobs"})
    def read() -> None:
        pass

    @dg.job(resource_defs={"blobs": dg.ResourceDefinition(resource)})
    def job() -> None:
        read()

    with dg.DagsterInstance.ephemeral() as instance:
        run_id = job.execute_in_process(instance=instance, raise_on_error=False).run_id
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert run_failure(instance, run).failure_class == "transient"
