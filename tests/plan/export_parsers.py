"""Reads exported files back: command lines against the tables of flags, objects against the fields that are known."""

import json
import shlex
from pathlib import Path

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FLAGS = Path(__file__).parent / "flags"
OBJECTS = json.loads((FLAGS / "objects.json").read_text())


def table(system):
    return json.loads((FLAGS / f"{system}.json").read_text())


def split(words, flags):
    """({flag: [values]}, problems) of a command's flags, as the system's own parser would take them."""
    found, problems, i = {}, [], 0
    while i < len(words):
        flag = words[i]
        known = flags.get(flag)
        values = []
        while i + 1 < len(words) and not words[i + 1].startswith("--"):
            i += 1
            values.append(words[i])
        i += 1
        if known is None:
            problems.append(f"unknown flag {flag}")
            continue
        problems += [f"{flag} {v}: {said}" for v in values or [None] if (said := wrong(v, known))]
        found.setdefault(flag, []).extend(values)
    return found, problems


def wrong(value, known):
    """Why a flag does not take this value (None: no value); "" if it does."""
    if known["kind"] == "switch":
        return "" if value is None else "takes no value"
    if value is None:
        return "needs a value"
    if value.startswith(("$(", "${")):
        return ""  # filled in where it runs
    if known.get("choices") and value not in map(str, known["choices"]):
        return f"not one of {known['choices']}"
    try:
        {"int": int, "float": float, "json": json.loads, "text": str}[known["kind"]](value)
    except ValueError:
        return f"is no {known['kind']}"
    return ""


def unknown_fields(value, known, place=""):
    """Paths of an object that the table does not know. "" in the table: anything; "pod", "podspec": by Kubernetes."""
    if known in ("", "pod", "podspec"):
        return []
    if isinstance(value, list):
        return [bad for item in value for bad in unknown_fields(item, known, place)]
    if not isinstance(value, dict):
        return [] if not known else [f"{place}: no object"]
    bad = [f"{place}.{key}" for key in value if key not in known]
    return bad + [b for key in value if key in known for b in unknown_fields(value[key], known[key], f"{place}.{key}")]


def pods_of(value):
    """Pod specs anywhere in an object."""
    if isinstance(value, list):
        return [p for item in value for p in pods_of(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if "containers" in value else []
    return own + [p for item in value.values() for p in pods_of(item)]


def script_words(text):
    """The words of an exported script: everything after exec, defaults of shell variables filled in."""
    body = text.decode().split("\nexec ", 1)[1].replace("\\\n", " ")
    return [w for w in shlex.split(body) if w != "$@"]


def _load(text):
    return yaml.load(text, Loader=LOADER)


def documents(content):
    return [d for d in yaml.load_all(content, Loader=LOADER) if d is not None]


def engine_configs(files):
    """TensorRT-LLM arguments by name of the ConfigMap, Compose config or file."""
    found = {}
    for name, content in files.items():
        if not name.endswith(".yaml"):
            continue
        for document in documents(content):
            if document.get("kind") == "ConfigMap" and "engine.yaml" in document["data"]:
                found[document["metadata"]["name"].removesuffix("-config")] = _load(document["data"]["engine.yaml"])
            for config, body in document.get("configs", {}).items():
                if not config.endswith("-router"):
                    found[config.removesuffix("-config")] = _load(body["content"])
            if "tensor_parallel_size" in document:
                found[name.removesuffix(".yaml")] = document
    return found


def commands(target, files):
    """Unit → words of its engine, flags that a chart or operator writes itself put back."""
    if target in ("vllm", "sglang", "tensorrt-llm"):
        return {name.removesuffix(".sh"): script_words(body) for name, body in files.items() if name.endswith(".sh")}
    found = {}
    for name, content in files.items():
        for document in documents(content):
            found |= _of_document(target, name, document)
    return found


def _of_document(target, name, document):
    kind = document.get("kind")
    if target == "kubernetes" and kind in ("Deployment", "LeaderWorkerSet"):
        template = document["spec"].get("template") or document["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
        main = template["spec"]["containers"][0]
        return {document["metadata"]["name"]: main["command"] + main["args"]}
    if target == "compose":
        return {
            n.rsplit("-", 1)[0] if n[-1].isdigit() else n: s["entrypoint"] + s["command"]
            for n, s in document["services"].items()
        }
    if target == "dynamo" and kind == "DynamoGraphDeployment":
        graph, found = document["metadata"]["name"], {}
        for part in document["spec"]["components"]:
            main = part["podTemplate"]["spec"]["containers"][0]
            unit = {"worker": graph, "Frontend": f"{graph}-frontend"}.get(part["name"], f"{graph}-{part['name']}")
            found[unit] = main["command"] + main["args"]
        return found
    if target == "llm-d" and name.endswith("-values.yaml"):
        return _of_llm_d(document)
    if target == "kserve" and kind == "LLMInferenceService":
        return _of_llm_service(document)
    if target == "kserve" and kind == "InferenceService":
        main = document["spec"]["predictor"]["containers"][0]
        return {document["metadata"]["name"]: main["command"] + main["args"]}
    if target == "nim" and name.endswith("-values.yaml"):
        env = {e["name"]: e["value"] for e in document["env"]}
        return {name.removesuffix("-values.yaml"): shlex.split(env["NIM_PASSTHROUGH_ARGS"])}
    return {}


def _of_llm_d(values):
    found, name = {}, values["fullnameOverride"]
    for role in ("decode", "prefill"):
        part = values[role]
        if not part["create"]:
            continue
        sizes = {
            "--tensor-parallel-size": part["parallelism"]["tensor"],
            "--data-parallel-size": part["parallelism"]["data"],
        }
        args = part["containers"][0]["args"]
        extra = [w for flag, size in sizes.items() if flag not in args for w in (flag, str(size))]
        alone = not values["prefill"]["create"]
        found[name if alone else f"{name}-{role}"] = args + extra
    return found


def _of_llm_service(document):
    name, spec = document["metadata"]["name"], document["spec"]
    parts = {"": spec} if "prefill" not in spec else {"-decode": spec, "-prefill": spec["prefill"]}
    found = {}
    for role, part in parts.items():
        env = {e["name"]: e["value"] for e in part["template"]["containers"][0]["env"]}
        args = shlex.split(env["VLLM_ADDITIONAL_ARGS"])
        sizes = ["--tensor-parallel-size", str(part["parallelism"]["tensor"])]
        found[name + role] = args + ([] if "--tensor-parallel-size" in args else sizes)
    return found
