"""Compose and Kubernetes run as production: secrets where they belong, nothing open, time to stop."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.runtime import daemon, worker

INFRA = Path(__file__).resolve().parents[2] / "infra"
LISTED = {
    line.split()[0]: (line.split()[1], line.split()[2].split(","))
    for line in (INFRA / "secrets.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
OURS = ("migrate", "worker", "daemon", "web")
SERVICE_KEYS = {
    "image", "build", "command", "restart", "cap_drop", "security_opt", "environment", "volumes", "ports",
    "healthcheck", "depends_on", "stop_grace_period",
}  # fmt: skip


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Of docker-compose.yaml, anchors resolved."""
    compose = yaml.safe_load((INFRA / "docker-compose.yaml").read_text())
    assert {name for name in compose if not name.startswith("x-")} == {"services", "volumes"}
    found: dict[str, Any] = compose["services"]
    for service in found.values():
        assert service.keys() <= SERVICE_KEYS, "a key that Compose would ignore or refuse"
        for other, condition in service.get("depends_on", {}).items():
            assert other in found
            assert condition["condition"] in ("service_healthy", "service_completed_successfully")
            assert condition["condition"] != "service_healthy" or "healthcheck" in found[other]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (INFRA / source).exists(), source
    return found


def test_compose_runs_as_production_and_no_password_has_a_default(services: dict[str, Any]) -> None:
    for name in OURS:
        environment = services[name]["environment"]
        assert environment["CHEERFUL_ENVIRONMENT"] == "production"
        found = Settings(
            environment="production", mode=environment["CHEERFUL_MODE"], web_url="https://cheerful.example"
        )  # fmt: skip
        assert found.mode == "live"
        assert environment["CHEERFUL_WEB_URL"].startswith("${CHEERFUL_WEB_URL:?")
        assert services[name]["cap_drop"] == ["ALL"]
    text = (INFRA / "docker-compose.yaml").read_text()
    for variable, otherwise in re.findall(r"\$\{(\w+)(:?[-?][^}]*)?\}", text):
        if re.search(r"PASSWORD|KEY$|SECRET|CREDENTIALS", variable) and otherwise != ":-":
            assert otherwise.startswith(":?"), f"{variable} has a default"
    assert "env_file" not in text  # it would give every container everything
    assert services["web"]["ports"] == ["127.0.0.1:3000:3000"]
    assert not [name for name in services if name != "web" and "ports" in services[name]]


def test_each_container_gets_its_own_secrets_and_all_that_it_needs(services: dict[str, Any]) -> None:
    for name in OURS:
        given = services[name]["environment"]
        mine = {secret for secret, (_, roles) in LISTED.items() if name in roles}
        needed = {secret for secret in mine if LISTED[secret][0] == "required"}
        assert needed <= given.keys(), name
        assert not set(LISTED) & given.keys() - mine, name
        owners = [value for value in given.values() if "POSTGRES_PASSWORD" in value]
        assert bool(owners) == (name == "migrate")


def test_compose_waits_for_what_stops_slowly(services: dict[str, Any]) -> None:
    def seconds(name: str) -> int:
        return int(services[name]["stop_grace_period"].removesuffix("s"))

    assert seconds("worker") > worker.STOP_SECONDS
    assert seconds("daemon") > daemon.STOP_SECONDS
    assert "\\getenv" in (INFRA / "compose-init.sh").read_text()  # not -v: arguments are for everybody to read
    assert not re.search(r"psql[^\n]*\$", (INFRA / "compose-init.sh").read_text())


# --- Kubernetes ----------------------------------------------------------------------------------------------------


def _values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((INFRA / "k8s" / "values.yaml").read_text())
    return found


def _pods() -> dict[str, dict[str, Any]]:
    web, _ = yaml.safe_load_all((INFRA / "k8s" / "web.yaml").read_text())
    job = yaml.safe_load((INFRA / "k8s" / "migrate.yaml").read_text())
    return {"web": web["spec"]["template"]["spec"], "migrate": job["spec"]["template"]["spec"]}


def test_the_only_web_server_is_the_one_with_a_login() -> None:
    values = _values()

    assert values["dagsterWebserver"]["replicaCount"] == 0
    assert values["dagsterWebserver"]["enableReadOnly"] is True
    assert values["ingress"]["enabled"] is False
    assert _pods()["web"]["containers"][0]["args"] == ["web"]


def test_no_tag_of_a_run_may_set_anything_in_its_pod() -> None:
    """The launcher refuses all of it; its own settings do not count as a user's."""
    launcher = _values()["runLauncher"]["config"]["customRunLauncher"]
    (deployment,) = _values()["dagster-user-deployments"]["deployments"]

    assert (launcher["module"], launcher["class"]) == ("dagster_k8s", "K8sRunLauncher")
    assert launcher["config"]["only_allow_user_defined_k8s_config_fields"] == {}
    assert launcher["config"]["only_allow_user_defined_env_vars"] == []
    assert deployment["includeConfigInLaunchedRuns"]["enabled"] is False


def test_dagsters_own_launcher_takes_these_settings_and_refuses_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = pytest.importorskip("dagster_k8s.launcher", reason="only the production image has dagster-k8s")
    from dagster import DagsterRun
    from dagster._config import process_config, resolve_to_config_type
    from dagster_k8s.container_context import K8sContainerContext

    config = _values()["runLauncher"]["config"]["customRunLauncher"]["config"]
    done = process_config(resolve_to_config_type(launcher.K8sRunLauncher.config_type()), config)
    assert done.success, done.errors
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    ours = launcher.K8sRunLauncher(**done.value)

    def pod(**config: Any) -> Any:
        run = DagsterRun(job_name="j", tags={"dagster-k8s/config": json.dumps(config)} if config else {})
        return K8sContainerContext.create_for_run(run, ours, include_run_tags=True)

    assert pod().run_k8s_config.pod_spec_config["termination_grace_period_seconds"] == 300
    for tag in ({"container_config": {"image": "x"}}, {"pod_spec_config": {"service_account_name": "admin"}}):
        with pytest.raises(Exception, match="violated the allowed list"):
            pod(**tag)


def test_runs_may_end_before_their_pod_does() -> None:
    config = _values()["runLauncher"]["config"]["customRunLauncher"]["config"]
    pod, container = (config["run_k8s_config"][name] for name in ("pod_spec_config", "container_config"))
    stop = " ".join(container["lifecycle"]["preStop"]["exec"]["command"])
    waits = re.search(r"sleep (\d+)", stop)

    assert "CHEERFUL_STOP_FILE=/tmp/stopping" in config["env_vars"]
    assert "touch /tmp/stopping" in stop
    assert waits is not None
    assert int(waits[1]) == worker.DRAIN_SECONDS
    assert worker.DRAIN_SECONDS + worker.INTERRUPT_SECONDS < worker.STOP_SECONDS < pod["terminationGracePeriodSeconds"]
    assert _pods()["web"]["terminationGracePeriodSeconds"] > worker.STOP_SECONDS


def test_pods_are_nobody_special_and_are_asked_how_they_are() -> None:
    values = _values()
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    runs = values["runLauncher"]["config"]["customRunLauncher"]["config"]["run_k8s_config"]
    contexts = [
        (deployment["podSecurityContext"], deployment["securityContext"]),
        (values["dagsterDaemon"]["podSecurityContext"], values["dagsterDaemon"]["securityContext"]),
        (runs["pod_spec_config"]["securityContext"], runs["container_config"]["securityContext"]),
        *((pod["securityContext"], pod["containers"][0]["securityContext"]) for pod in _pods().values()),
    ]
    for pod, container in contexts:
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == 10001
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
    for probed in (deployment, _pods()["web"]["containers"][0]):
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= probed.keys()


def test_only_the_migration_gets_the_owners_secret() -> None:
    text = {path.name: path.read_text() for path in (INFRA / "k8s").iterdir()}

    assert "secretRef: { name: cheerful-migration }" in text["migrate.yaml"]
    assert _pods()["migrate"]["containers"][0]["args"] == ["migrate"]
    assert not [
        name
        for name, words in text.items()
        if name != "migrate.yaml" and re.search(r"^[^#\n]*cheerful-migration", words, flags=re.MULTILINE)
    ]


def test_the_queue_on_kubernetes_is_the_one_of_dagster_yaml() -> None:
    queue = _values()["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    runs = yaml.safe_load((INFRA.parent / "dagster.yaml").read_text())["concurrency"]["runs"]

    assert queue["tagConcurrencyLimits"] == runs["tag_concurrency_limits"]
    assert queue["maxConcurrentRuns"] == runs["max_concurrent_runs"]
