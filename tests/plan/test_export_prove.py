"""Exports against the systems' own argument classes, models and schemas (`make prove`; downloads wheels from PyPI)."""

import ast
import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from export_parsers import OBJECTS, commands, documents, pods_of, split, table
from export_services import factory_of
from export_wheels import run_checker, wheels

from tokenworks.api import examples, load
from tokenworks.errors import CapacityError, UnsupportedError
from tokenworks.plan.export import TARGETS, Options, export

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3600)]
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
ALL = {
    "prefix_cache": True, "kv_precision": "fp8", "fused_all_reduce": True, "overlap": "two-batch", "max_waiting": 400,
    "kv_tiers": [{"name": "host", "capacity": "1 TB"}, {"name": "nvme", "capacity": "4 TB"}],
    "lora": {"adapters": 4, "rank": 24}, "timeout": "30 s", "encoder": False,
}  # fmt: skip
WIDE = {"model": "deepseek-r1", "precision": "fp8_block", "dp_attention": 8, "ep": 8, "redundant_experts": 32}
SPLIT = {"prefill": {"tp": 2, "workers": 2}, "decode": {"tp": 4}, "model": "gpt-oss-120b", "precision": "mxfp4"}


def drafts():
    return [{"kind": k, "draft_tokens": 3, "tokens_per_step": 2} for k in ("mtp", "eagle", "ngram", "draft")]


def sample():
    """Factories that use every setting, with each engine, on one host, on several and disaggregated."""
    found = [load(name) for name in examples()]
    for engine in ("vllm", "sglang", "tensorrt-llm"):
        found.append(factory_of({"engine": engine, **WIDE, **ALL, "routing": "kv-aware"}))
        found.append(
            factory_of(
                {"engine": engine, "model": "deepseek-r1", "precision": "nvfp4", "tp": 16, "pp": 2}, "gb200-nvl72", 1
            )
        )
        found += [factory_of({"engine": engine, "tp": 4, "precision": "fp8", "speculative": d}) for d in drafts()]
        found += [factory_of({"engine": engine, "tp": 8, "routing": r}) for r in ("session", "random", "round-robin")]
        found.append(factory_of({"engine": engine, **SPLIT}))
        found.append(
            factory_of(
                {"engine": engine, "tp": 2, "pp": 2, "micro_batches": 1, "chunked_prefill": False, "precision": "fp8"}
            )
        )
    return found


@pytest.fixture(scope="session")
def made():
    """[(target, engine of the first service, files)] of all that can be exported."""
    found = []
    for factory in sample():
        for target in TARGETS:
            images = {s.name: "registry.local/image:1" for s in factory.services}
            for service in factory.services:
                try:
                    files = export(factory, target, service.name, Options(images=images)).files
                except (UnsupportedError, CapacityError):
                    continue
                found.append((target, service.engine, files))
    assert len(found) > 250
    assert {t for t, _, _ in found} == set(TARGETS)
    return found


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    import engine_flags

    out = tmp_path_factory.mktemp("flags")
    engine_flags.main(str(wheels()), str(out))
    return {p.stem: json.loads(p.read_text()) for p in out.glob("*.json")}


def test_the_committed_tables_are_those_of_the_wheels(tables):
    """Of the same version exactly; of a newer one the tables are made again by tools/engine_flags.py."""
    for name, fresh in tables.items():
        if fresh["version"] == table(name)["version"]:
            assert fresh == table(name)
        else:
            print(f"{name}: {fresh['version']} is out, the table is of {table(name)['version']}")  # noqa: T201
    assert set(tables) == {"vllm", "sglang", "sglang-router", "dynamo"}


def engine_of(words, target, engine):
    if "sglang_router.launch_router" in words:
        return "sglang-router"
    if words[0] in ("trtllm-serve",) or "dynamo.trtllm" in words:
        return "dynamo" if "dynamo.trtllm" in words else ""
    if target == "nim":
        return "sglang" if engine == "sglang" else "vllm"
    if any("sglang" in w for w in words[:4]):
        return "sglang"
    return "dynamo" if "dynamo.frontend" in words else "vllm"


def test_every_flag_is_taken_by_its_argument_classes(made, tables):
    checked = set()
    for target, engine, files in made:
        for words in commands(target, files).values():
            system = engine_of(words, target, engine)
            if not system:
                continue  # trtllm-serve: its package on PyPI holds no code
            flags = tables[system]["flags"] | (tables["dynamo"]["flags"] if target == "dynamo" else {})
            found, problems = split(words[next(i for i, w in enumerate(words) if w.startswith("--")) :], flags)
            assert problems == [], (target, words)
            _check_json(found, tables["vllm"])
            checked |= {(system, f) for f in found}
    print(  # noqa: T201
        f"{len(checked)} different flags taken: "
        + ", ".join(f"{s} {sum(x == s for x, _ in checked)}" for s in sorted({s for s, _ in checked}))
    )
    assert len(checked) > 60


def _check_json(found, vllm):
    """Keys of vLLM's JSON values are fields of its configuration classes; methods and roles are among its literals."""
    for flag, fields in vllm["configs"].items():
        for text in found.get(f"--{flag}", []):
            value = json.loads(text)
            assert set(value) <= set(fields)
            assert set(value.get("pass_config", {})) <= set(vllm["configs"]["pass_config"])
            assert value.get("method", "mtp") in vllm["choices"]["SpeculativeMethod"]
            assert value.get("kv_role", "kv_both") in vllm["choices"]["KVRole"]


def test_graphs_are_read_by_dynamos_own_models(made):
    """The pydantic classes of its profiler, run as they stand in the wheel; nothing may be left over as an extra."""
    from pydantic import BaseModel, Field

    wheel = sorted(wheels().glob("ai_dynamo-*.whl"))[-1]
    tree = ast.parse(zipfile.ZipFile(wheel).read("dynamo/profiler/utils/config.py"))
    names = (
        "DgdModel",
        "Container",
        "PodSpec",
        "PodTemplate",
        "MultinodeConfig",
        "Component",
        "Spec",
        "Metadata",
        "Config",
    )
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name in names]
    space = {"BaseModel": BaseModel, "Field": Field, "Optional": Optional, "Any": Any, "__name__": "dgd"}
    exec(compile(ast.Module(classes, []), "config.py", "exec", dont_inherit=True), space)
    graphs = [
        d
        for t, _, files in made
        if t == "dynamo"
        for c in files.values()
        for d in documents(c)
        if d["kind"] == "DynamoGraphDeployment"
    ]
    assert len(graphs) > 20
    for graph in graphs:
        read = space["Config"].model_validate(graph)
        parts = [read, read.metadata, read.spec, *read.spec.components]
        for part in read.spec.components:
            parts += [part.podTemplate.spec, *part.podTemplate.spec.containers]
        assert [p.model_extra for p in parts if p.model_extra] == []


def test_kserve_objects_have_the_fields_of_its_model_classes(made):
    models = Models(sorted(wheels().glob("kserve-*.whl"))[-1])
    kinds = {"InferenceService": "V1beta1InferenceService", "LLMInferenceService": "V1alpha2LLMInferenceService"}
    seen = set()
    for target, _, files in made:
        for document in [d for c in files.values() for d in documents(c)] if target == "kserve" else []:
            if document["kind"] in kinds:
                assert models.unknown(document, kinds[document["kind"]]) == []
                seen.add(document["kind"])
    assert seen == set(kinds)


class Models:
    """KServe's model classes by name: field → type, read without running them."""

    def __init__(self, wheel):
        self.types = {}
        archive = zipfile.ZipFile(wheel)
        for name in archive.namelist():
            if name.startswith("kserve/models/") and name.endswith(".py"):
                for node in [n for n in ast.walk(ast.parse(archive.read(name))) if isinstance(n, ast.ClassDef)]:
                    maps = {
                        a.targets[0].id: ast.literal_eval(a.value)
                        for a in node.body
                        if isinstance(a, ast.Assign) and isinstance(a.value, ast.Dict)
                    }
                    if "attribute_map" in maps:
                        self.types[node.name] = {maps["attribute_map"][k]: t for k, t in maps["openapi_types"].items()}

    def unknown(self, value, name, place=""):
        if isinstance(value, list):
            return [b for item in value for b in self.unknown(item, name, place)]
        known = self.types.get(name)
        if known is None or not isinstance(value, dict):
            return []
        bad = [f"{place}.{k}" for k in value if k not in known]
        return bad + [
            b
            for k in value
            if k in known
            for b in self.unknown(value[k], known[k].removeprefix("list[").rstrip("]"), f"{place}.{k}")
        ]


def test_kubernetes_objects_are_valid_strictly(made, tmp_path):
    """Deployments, Services and ConfigMaps as they are; pods inside other kinds as Pods."""
    own, bodies = ("Deployment", "Service", "ConfigMap"), set()
    for target, _, files in made:
        for content in files.values() if target in ("kubernetes", "dynamo", "kserve", "llm-d") else []:
            for document in documents(content) if not content.startswith(b"#!") else []:
                if document.get("kind") in own:
                    bodies.add(yaml.safe_dump(document))
                    continue
                for pod in pods_of(document) if target != "llm-d" else []:
                    spec = {k: v for k, v in pod.items() if k in ("containers", "volumes")}
                    spec["containers"] = [{"image": "preset"} | c for c in spec["containers"]]
                    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
                    bodies.add(yaml.safe_dump(pod))
    paths = []
    for i, body in enumerate(sorted(bodies)):
        paths.append(tmp_path / f"{i}.yaml")
        paths[-1].write_text(body)
    assert len(paths) > 100
    run_checker("kubernetes-validate", "--strict", "--quiet", *paths)
    bad = tmp_path / "bad.yaml"
    bad.write_text(paths[0].read_text().replace("metadata:", "metadatum:"))
    with pytest.raises(AssertionError):
        run_checker("kubernetes-validate", "--strict", "--quiet", bad)


def test_compose_files_fit_its_schema(made, tmp_path):
    bodies = sorted({c for t, _, files in made if t == "compose" for c in files.values()})
    for i, body in enumerate(bodies):
        (tmp_path / f"{i}.yaml").write_bytes(body)
    assert len(bodies) > 15
    run_checker("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *sorted(tmp_path.glob("*.yaml")))
    (tmp_path / "bad.yaml").write_bytes(bodies[0].replace(b"entrypoint:", b"entrypont:"))
    with pytest.raises(AssertionError):
        run_checker("check-jsonschema", "--builtin-schema", "vendor.compose-spec", tmp_path / "bad.yaml")


def test_values_are_taken_by_helm(made, tmp_path):
    """Helm reads the values and holds them against the fields of the charts that are known (the charts are not on PyPI)."""
    checked = 0
    for target in ("llm-d", "nim"):
        chart = tmp_path / target
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {target}\nversion: 1.0.0\n")
        (chart / "templates" / "all.yaml").write_text("values: {{ .Values | toJson }}\n")
        (chart / "values.schema.json").write_text(json.dumps(schema(OBJECTS[target])))
        bodies = [c for t, _, files in made if t == target for n, c in files.items() if n.endswith("-values.yaml")]
        (tmp_path / f"{target}.json").write_text(json.dumps([b.decode() for b in bodies]))
        script = "import helm_python as h, json, sys; c = h.Chart.load(sys.argv[1]); v = [h.values_from_yaml(t) for t in json.load(open(sys.argv[2]))]; [c.validate_schema(x) for x in v]; print([c.render(x) for x in v][0])"
        run_checker("python", "-c", script, chart, tmp_path / f"{target}.json")
        checked += len(bodies)
        (tmp_path / "bad.json").write_text(json.dumps(["strange: 1\n"]))
        with pytest.raises(AssertionError):
            run_checker("python", "-c", script, chart, tmp_path / "bad.json")
    assert checked > 40


def schema(known):
    """A JSON schema of a table of fields: no others are taken."""
    if not isinstance(known, dict):
        return {}
    body = {"type": "object", "additionalProperties": False, "properties": {k: schema(v) for k, v in known.items()}}
    return {"anyOf": [body, {"type": "array", "items": body}]} if known is not OBJECTS else body
