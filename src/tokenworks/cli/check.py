"""`tokenworks check FILE`: is the factory file right, and what does it describe."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import site_argument

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory, Workload


def register(verbs: Any) -> None:
    parser = verbs.add_parser("check", help="check a factory file and say what it describes")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    site_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks.api import load
    from tokenworks.cli.fit import fit_findings, kv_tokens, trace_text_findings
    from tokenworks.physics.fleet import fleet, site_note
    from tokenworks.spec.checks import gpus_of

    factory = load(args.file, lambda made: (*fit_findings(made), *trace_text_findings(made)), args.site)
    replicas = fleet(factory)
    print(f"{factory.name}: the file is right.")
    print(f"  site: {site_text(factory)}")
    for system in factory.systems:
        taken = sum(r.gpus for r in replicas if r.system.id == system.id)
        gpus = gpus_of(factory, system)
        free = f", {gpus - taken} of them free" if taken < gpus else ""
        print(f"  {system.id}: {system.count} x {system.system}, {counted(gpus, 'GPU')}{free}")
    if factory.calibration:
        print(f"  {site_note(factory, replicas)}")
    for r in replicas:
        print(f"  {r.service.name}: {r.service.model} in {r.service.precision} by {r.service.engine}")
        for group in r.groups:
            role = "" if group.role == "serve" else f"{group.role}: "
            workers = f"{counted(group.count, 'worker')} of {counted(group.deployment.gpus, 'GPU')}"
            clock = f", at {group.deployment.clock:.0%} of the boost clock" if group.deployment.clock < 1 else ""
            print(f"    {role}{workers}, each with a KV cache of {kv_tokens(group.deployment):,} tokens{clock}")
    for load_ in factory.workload:
        print(f"  {load_.service} is asked by {load_.source}{rate_text(load_)}")
    run_ = factory.run
    print(f"  run: {duration(run_.horizon_s)}, warm-up {duration(run_.warmup_s)}, seed {run_.seed}")
    return 0


def site_text(factory: Factory) -> str:
    """Region, cooling and the limit of power."""
    site, budget_w = factory.site, factory.budget_w
    cooling = " and ".join(f"{h.id} cooled by {h.cooling}" for h in site.halls) or f"cooled by {site.cooling}"
    limit = f"at most {budget_w / 1e3:,.4g} kW ({site.power.scope})" if budget_w else "no limit of power"
    return f"{site.region}, {cooling}, {limit}"


def rate_text(load: Workload) -> str:
    """How much is asked; nothing where a recording is played as it is."""
    from tokenworks.spec.demand import scale_text

    shape, scale = load.arrivals, scale_text(load.scale)
    if shape and shape.clients:
        return f", {counted(shape.clients, 'client')}"
    if shape and shape.requests:
        return f", {counted(shape.requests, 'request')}"
    if load.scale.kind != "factor":
        return f", {scale}"
    if load.runs_s is not None:
        from tokenworks.spec.agents import runs_text

        return f", {runs_text(load.runs_s * load.scale.value)}"
    rate_s = f", {shape.rate_s * load.scale.value:g} req/s" if shape and shape.rate_s else ""
    return rate_s or (f", {scale} of the recorded rate" if load.scale.value != 1 else "")


def duration(seconds: float) -> str:
    """
    >>> duration(5400.0), duration(600.0), duration(2.5)
    ('1.5 h', '10 min', '2.5 s')
    """
    unit, name = next(((u, n) for u, n in ((86_400, "d"), (3600, "h"), (60, "min")) if seconds >= u), (1, "s"))
    return f"{seconds / unit:.4g} {name}"


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"
