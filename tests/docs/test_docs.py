"""Code blocks of the documentation run: every block of every page belongs to one of the kinds below."""

import json
import re
import shlex
from pathlib import Path

import tokenworks as tw
from tokenworks.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODEL_OF_ONES_OWN = {
    "model_type": "llama", "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "vocab_size": 32000,
    "max_position_embeddings": 4096, "intermediate_size": 1408, "torch_dtype": "bfloat16",
}  # fmt: skip
README = (ROOT / "README.md").read_text()


def blocks(text):
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def kind(page, language, content):
    if language == "python":
        return "client" if "from openai" in content else "python"  # tests/serve/test_serve_verb.py
    lines = content.strip().splitlines()
    if all(line.startswith("make ") for line in lines):
        return "make"
    if all(line.startswith(".venv/bin/tokenworks ") for line in lines):
        return "commands"
    if page.name == "workload.md" and language == "yaml":
        return "factory"  # tests/workload/test_document.py
    if page.name == "plan.md" and language == "yaml":
        return "demand"  # tests/plan/test_demand_file.py
    if page.name == "agents.md" and language == "yaml":
        return "factory"  # tests/docs/test_agents_page.py
    if page.name == "catalog.md" and all(line.startswith("tokenworks catalog ") for line in lines):
        return "guide"  # tests/catalog/test_catalog_docs.py
    if page.name == "site-calibration.md" and all(line.startswith("tokenworks ") for line in lines):
        return "guide"  # tests/accuracy/test_site_calibration.py
    if page.name == "sweep.md" and all(line.startswith("tokenworks sweep ") for line in lines):
        return "guide"  # tests/plan/test_sweep_page.py
    if page.name == "roadmap.md" and all(line.startswith("tokenworks roadmap ") for line in lines):
        return "guide"  # tests/plan/test_roadmap.py
    if page.name == "billing.md" and lines[0].startswith("$ tokenworks "):
        return "guide"  # tests/docs/test_billing_page.py
    if page.name == "serve.md" and (language == "yaml" or all(line.startswith("tokenworks ") for line in lines)):
        return "guide"  # tests/docs/test_serve_page.py
    if page.name == "scaling.md" and (language == "yaml" or all(line.startswith("tokenworks ") for line in lines)):
        return "guide"  # tests/docs/test_scaling_page.py
    if page.name == "steering.md" and language == "yaml":
        return "guide"  # tests/docs/test_steering_page.py
    if page.name == "pools.md" and language == "yaml":
        return "guide"  # tests/docs/test_pools_page.py
    if page.name == "observe.md" and language == "yaml":
        return "guide"  # tests/docs/test_observe_page.py
    drawn = "►" in content or lines[0].endswith("/")  # a picture or a folder's tree
    return "diagram" if page.name != "README.md" and not language and drawn else "unknown"


def test_every_block_is_of_a_kind_that_a_test_covers():
    found = [(page.name, kind(page, *block)) for page in PAGES for block in blocks(page.read_text())]
    assert [place for place in found if place[1] == "unknown"] == []
    assert {what for _, what in found} >= {"python", "make", "commands"}


def test_python_blocks_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        for language, content in blocks(page.read_text()):
            if kind(page, language, content) == "python":
                exec(compile(content, page.name, "exec"), {})
    assert re.fullmatch(r"[\d.]+ [\d.]+\n", capsys.readouterr().out)


def test_make_blocks_name_targets():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [line.split()[1] for _, text in blocks(README) for line in text.splitlines() if line.startswith("make ")]
    assert named == ["run", "test"]
    assert set(named) <= targets


def commands():
    lines = re.findall(r"^\.venv/bin/tokenworks (.*?)\s+#", README, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_command_block_runs_from_top_to_bottom(monkeypatch, tmp_path, capsys):
    """As written, in an empty folder; validate, which rehearses every measurement, and what needs a server that runs beside have
    tests of their own (tests/docs/test_bench_page.py, tests/serve)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(MODEL_OF_ONES_OWN))
    verbs = [
        "init",
        "check",
        "run",
        "run",
        "run",
        "estimate",
        "catalog",
        "catalog",
        "taf",
        "validate",
        "plan",
        "plan",
        "roadmap",
        "compare",
        "topology",
    ]
    live = ["serve", "bench", "rehearse"]
    assert [c[0] for c in commands()] == live + verbs
    for arguments in commands():
        if arguments[0] == "run":
            arguments += ["--quiet", "--set", "run.horizon=70 s", "--set", "run.warmup=5 s"]
        if arguments[0] not in ("validate", *live):
            assert main(arguments) == 0, (arguments, capsys.readouterr().err)


def test_make_run_writes_where_the_readme_says():
    """`make run` gives no --out, so that the report lies in out/NAME."""
    rule = re.search(r"^run:.*\n\t@\$\(BIN\)/tokenworks (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    verb, file, *_ = rule.group(1).split()
    assert verb == "run"
    assert f"`out/{tw.load(ROOT / file).name}/report.html`" in README


def test_links_of_the_documents_lead_somewhere():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)
