"""Image, Compose file and chart say what the gateway understands; `make prove` has Helm and the schemas look at them."""

import json
import re
from pathlib import Path

import pytest
import yaml
from export_wheels import run_checker

from tokenworks.cli.main import parser

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "tokenworks"
GATEWAY = (CHART / "templates" / "gateway.yaml").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
VALUES = {"factory": "factory: x\n", "keysSecret": "k", "ledger": {"secret": "l", "key": "url"}}


def words_of_the_chart():
    return yaml.safe_load(re.search(r"args: (\[.*\])", GATEWAY).group(1))


def words_of_the_image():
    return json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.M).group(1))


@pytest.mark.parametrize("words", [words_of_the_image(), words_of_the_chart()], ids=["image", "chart"])
def test_the_gateway_understands_its_words(words):
    args = parser().parse_args(words)
    assert (args.verb, args.host, args.port) == ("serve", "0.0.0.0", 8000)
    assert args.keys == "/etc/tokenworks/keys/keys.json"
    assert args.file == "/etc/tokenworks/factory.yaml"


def test_the_files_lie_where_the_words_say():
    gateway = COMPOSE["services"]["gateway"]
    assert [v.split(":")[1] for v in gateway["volumes"]] == [
        "/etc/tokenworks/factory.yaml",
        "/etc/tokenworks/keys/keys.json",
    ]
    assert {"read_only": True, "cap_drop": ["ALL"]}.items() <= gateway.items()
    assert gateway["ports"] == ["127.0.0.1:8000:8000"]  # others are let in by whoever puts TLS before it
    assert "mountPath: /etc/tokenworks/factory.yaml" in GATEWAY
    assert "mountPath: /etc/tokenworks/keys," in GATEWAY
    assert "EXPOSE 8000" in DOCKERFILE


def test_drains_are_waited_for():
    from tokenworks.spec.serving import Serving

    drain_s = Serving().drain_s
    assert int(COMPOSE["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > drain_s
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    before_s = int(re.search(r'command: \[sleep, "(\d+)"\]', GATEWAY).group(1))
    assert values["terminationGracePeriodSeconds"] > drain_s + before_s


def test_every_value_of_the_chart_is_in_its_schema():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    used = set(re.findall(r"\.Values\.(\w+)", "".join(p.read_text() for p in (CHART / "templates").iterdir())))
    assert used == set(values)


@pytest.mark.prove
def test_helm_and_kubernetes_take_the_chart(tmp_path):
    script = """
import helm_python as h, json, sys
found = h.lint(sys.argv[1], json.loads(sys.argv[2]), kube_version="v1.30.0")
assert not found["errors"] and [m["error"] for m in found["messages"]] == ["icon is recommended"], found
chart = h.Chart.load(sys.argv[1])
values = chart.merge_values(json.loads(sys.argv[2]))
chart.validate_schema(values)
for name, text in chart.render(values, name="site").items():
    open(f"{sys.argv[3]}/{name.split('/')[-1]}", "w").write(text)
"""
    run_checker("python", "-c", script, CHART, json.dumps(VALUES), tmp_path)
    made = sorted(tmp_path.iterdir())
    assert [p.name for p in made] == ["disruption.yaml", "factory.yaml", "gateway.yaml", "service.yaml"]
    run_checker("kubernetes-validate", "--strict", "--quiet", *made)
    with pytest.raises(AssertionError, match="minLength"):
        run_checker("python", "-c", script, CHART, json.dumps({**VALUES, "factory": ""}), tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text((tmp_path / "gateway.yaml").read_text().replace("readinessProbe", "readyProbe"))
    with pytest.raises(AssertionError):
        run_checker("kubernetes-validate", "--strict", "--quiet", bad)


@pytest.mark.prove
def test_the_compose_file_fits_its_schema():
    run_checker("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
