"""What `deploy/fleet` and `deploy/kubernetes` hold fits the code, one another, and the schemas of those who read it.

No engine runs here: that the containers start and reach one another is not tested. As processes on several machines
`make proof-fleet` runs it all.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._cli.api import api_cli
from dagster._core.instance.ref import InstanceRef

from ayne_dagster_tests.support.command_lines import ROOT, check_command

FLEET, KUBERNETES = ROOT / "deploy/fleet", ROOT / "deploy/kubernetes"
SECRETS = {"TMDB_READ_TOKEN", "OMDB_API_KEY", "PGPASSWORD", "AYNE_LEDGER_URL", "DAGSTER_POSTGRES_PASSWORD"}
OURS = ("code", "daemon", "ui")


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def compose() -> dict[str, Any]:
    told: dict[str, Any] = read(FLEET / "compose.yaml")
    return told


def values() -> dict[str, Any]:
    told: dict[str, Any] = read(KUBERNETES / "values.yaml")
    return told


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / "platform.yaml").read_text()))


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [m for m in manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def asked_of_the_environment(node: Any) -> set[str]:
    """The variables that a configuration of Dagster's reads."""
    if isinstance(node, dict):
        if set(node) == {"env"}:
            return {node["env"]}
        return set().union(*map(asked_of_the_environment, node.values()))
    return set().union(*map(asked_of_the_environment, node)) if isinstance(node, list) else set()


def in_env_example() -> set[str]:
    return set(re.findall(r"^([A-Z_]+)=", (FLEET / "env.example").read_text(), re.MULTILINE))


def test_several_machines_queue_watch_and_forget_runs_as_one_does() -> None:
    alone, many, in_containers = (
        read(file)
        for file in (ROOT / "ayne_dagster/dagster.yaml", FLEET / "dagster.yaml", FLEET / "dagster.docker.yaml")
    )
    del alone["event_log_storage"]
    storage = many.pop("storage")
    assert many == alone
    assert in_containers.pop("storage") == storage
    del in_containers["run_launcher"]
    assert in_containers == alone


def test_what_the_daemon_needs_is_given_and_handed_on_to_the_containers_of_runs() -> None:
    told, launcher = compose(), read(FLEET / "dagster.docker.yaml")["run_launcher"]["config"]
    needed = asked_of_the_environment(read(FLEET / "dagster.docker.yaml"))
    handed_on = set(launcher["env_vars"])
    for name in OURS:
        service = told["services"][name]
        assert service["env_file"] == [".env"]
        assert not SECRETS & set(service["environment"]), "secrets stand in files alone"
        given = set(service["environment"]) | in_env_example()
        assert needed <= given
        assert handed_on <= given
        assert set(service["environment"]) - {"DAGSTER_HOME", "DAGSTER_CURRENT_IMAGE"} <= handed_on
    assert in_env_example() - {"DOCKER_GROUP"} <= handed_on
    volumes = {told["volumes"][name]["name"]: place for name, place in (("lake", "/lake"), ("state", "/state"))}
    assert launcher["container_kwargs"]["volumes"] == [f"{name}:{place}" for name, place in volumes.items()]
    assert launcher["network"] == told["networks"]["fleet"]["name"]


def test_every_command_is_understood_and_the_code_server_is_where_the_workspace_says() -> None:
    services = compose()["services"]
    for name in ("daemon", "ui"):
        program, *arguments = services[name]["command"]
        assert program == "ayne"
        check_command(arguments)
    (server,) = [entry["grpc_server"] for entry in read(FLEET / "workspace.yaml")["load_from"]]
    asked = understood(services["code"]["command"])
    assert (server["host"], server["port"], server["location_name"]) == ("code", asked["port"], asked["location_name"])
    assert understood(services["code"]["healthcheck"]["test"][1:])["port"] == server["port"]
    assert services["code"]["environment"]["DAGSTER_CURRENT_IMAGE"] == services["code"]["image"]
    (ui, login) = named("Deployment", "ayne-ui")["spec"]["template"]["spec"]["containers"]
    check_command(ui["command"][1:])
    (code,) = values()["dagster-user-deployments"]["deployments"]
    understood(["dagster", "api", "grpc", *code["dagsterApiGrpcArgs"], "--port", str(code["port"])])
    assert login["name"] == "login"


def understood(words: list[str]) -> dict[str, Any]:
    """What Dagster's own command takes these words for."""
    assert words[:2] == ["dagster", "api"]
    command = api_cli.commands[words[2]]
    return dict(command.make_context(words[2], list(words[3:])).params)


def test_nobody_reaches_the_ui_but_through_the_login_nor_the_engine_but_the_daemon() -> None:
    services = compose()["services"]
    assert services["login"]["network_mode"] == "service:ui", "the UI listens on 127.0.0.1 alone"
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"ui": ["127.0.0.1:4180:4180"]}
    assert "--upstream=http://127.0.0.1:3000" in services["login"]["command"]
    mounted = {name: json.dumps(service.get("volumes", [])) for name, service in services.items()}
    with_the_engine = [name for name, volumes in mounted.items() if "/var/run/docker.sock:" in volumes]
    assert with_the_engine == ["daemon"]
    assert values()["dagsterWebserver"]["replicaCount"] == 0
    assert values()["ingress"] == {"enabled": False}


def test_there_is_one_daemon_and_one_code_server_a_location() -> None:
    for service in compose()["services"].values():
        assert "deploy" not in service
        assert "scale" not in service
    assert len(values()["dagster-user-deployments"]["deployments"]) == 1, "the chart makes one replica of each"


def test_in_kubernetes_pools_and_queue_are_limited_as_elsewhere_and_in_one_place() -> None:
    told, elsewhere = values()["concurrency"], read(FLEET / "dagster.yaml")["concurrency"]
    assert told["enabled"]
    assert told["pools"] == {"defaultLimit": elsewhere["pools"]["default_limit"]}
    assert told["runs"] == {"maxConcurrentRuns": elsewhere["runs"]["max_concurrent_runs"]}
    # Dagster refuses a limit at the coordinator beside `concurrency`, and its daemon would not start.
    assert "config" not in values()["dagsterDaemon"]["runCoordinator"]


def test_in_kubernetes_secrets_are_named_and_stand_in_no_file() -> None:
    assert "Secret" not in {manifest["kind"] for manifest in manifests()}
    settings = named("ConfigMap", "ayne-settings")["data"]
    assert not SECRETS & set(settings)
    assert not re.search(r"password=|:[^/@\s]+@", json.dumps([settings, values()]), re.IGNORECASE)
    assert "postgresqlPassword" not in values()["postgresql"]
    (code,) = values()["dagster-user-deployments"]["deployments"]
    assert [code["envConfigMaps"], code["envSecrets"]] == [[{"name": "ayne-settings"}], [{"name": "ayne-secrets"}]]
    assert code["includeConfigInLaunchedRuns"] == {"enabled": True}, "runs need them, too"


def test_in_kubernetes_runs_and_code_server_keep_the_state_folder_on_a_volume_that_outlives_them() -> None:
    place = named("ConfigMap", "ayne-settings")["data"]["AYNE_STATE_FOLDER"]
    claim = named("PersistentVolumeClaim", "ayne-state")["metadata"]["name"]
    (code,) = values()["dagster-user-deployments"]["deployments"]
    ui = named("Deployment", "ayne-ui")["spec"]["template"]["spec"]
    for volumes, mounts in (
        (code["volumes"], code["volumeMounts"]),
        (ui["volumes"], ui["containers"][0]["volumeMounts"]),
    ):
        (name,) = [v["name"] for v in volumes if v.get("persistentVolumeClaim", {}).get("claimName") == claim]
        assert {"name": name, "mountPath": place} in mounts


def test_what_runs_in_kubernetes_has_time_to_commit_and_no_rights() -> None:
    spec = values()["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["podSpecConfig"]
    assert spec["terminationGracePeriodSeconds"] >= 30
    (code,) = values()["dagster-user-deployments"]["deployments"]
    pod = named("Deployment", "ayne-ui")["spec"]["template"]["spec"]
    # The chart hands on volumes and secrets of the code server to runs, and neither user nor group.
    assert spec["securityContext"] == code["podSecurityContext"]
    assert values()["runLauncher"]["config"]["k8sRunLauncher"]["securityContext"] == code["securityContext"]
    for security in (
        code["podSecurityContext"],
        values()["dagsterDaemon"]["podSecurityContext"],
        pod["securityContext"],
    ):
        assert security["runAsNonRoot"]
        assert security["runAsUser"] == 10001, "as in the image"
    assert "--uid 10001" in (ROOT / "deploy/Dockerfile").read_text()


@pytest.mark.on_lake
@pytest.mark.parametrize("name", ["dagster.yaml", "dagster.docker.yaml"])
def test_dagster_accepts_each_configuration(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_postgres")
    pytest.importorskip("dagster_docker")
    (tmp_path / "dagster.yaml").write_text((FLEET / name).read_text())
    for variable in asked_of_the_environment(read(FLEET / name)) | SECRETS:
        monkeypatch.setenv(variable, "5432" if variable.endswith("PORT") else "x")
    ref = InstanceRef.from_dir(str(tmp_path))
    assert type(ref.run_launcher).__name__ == {"dagster.yaml": "DefaultRunLauncher"}.get(name, "DockerRunLauncher")
    for data in (ref.run_storage_data, ref.event_storage_data, ref.schedule_storage_data):
        assert data is not None
        assert data.class_name.startswith("Postgres")


@pytest.mark.on_lake
@pytest.mark.parametrize("file", ["deploy/compose.yaml", "deploy/fleet/compose.yaml"])
def test_the_compose_files_are_as_their_specification_says(file: str) -> None:
    compose_spec = pytest.importorskip("compose_spec")
    told = yaml.safe_load((ROOT / file).read_text())  # with what YAML merges
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "999", json.dumps(told))
    assert set(compose_spec.PyCompose.from_json(text).service_names()) == set(told["services"])


@pytest.mark.on_lake
def test_the_manifests_are_as_kubernetes_says() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for manifest in manifests():
        kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.on_lake
def test_what_runs_get_in_kubernetes_is_as_its_launcher_says() -> None:
    container_context = pytest.importorskip("dagster_k8s.job")
    told = values()["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    snake = {re.sub(r"([A-Z])", lambda m: f"_{m[1].lower()}", name): part for name, part in told.items()}
    assert container_context.UserDefinedDagsterK8sConfig.from_dict(snake).pod_spec_config
