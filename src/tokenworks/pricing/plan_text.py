"""A price plan as text for a terminal."""

from __future__ import annotations

from tokenworks.pricing.plan import Plan, Price, Version


def plan_text(plan: Plan) -> str:
    lines = [f"{plan.name or plan.plan} ({plan.plan}), {plan.currency}"]
    for version in plan.versions:
        lines.append(f"  {version.id}  {version.from_} to {version.until or 'open'}, {family(version)}")
        lines += [f"    {p.id:<16} {p.meter:<14} {price_text(p)}" for p in version.prices]
        if version.minimum is not None:
            lines.append(f"    minimum {version.minimum} a period")
        if version.free:
            lines.append(f"    free: {', '.join(version.free)}")
    return "\n".join(lines)


def family(version: Version) -> str:
    """usage, value, seats, or hybrid where several come together (a subscription makes anything hybrid)."""
    families = {p.family for p in version.prices}
    return families.pop() if len(families) == 1 and "subscription" not in families else "hybrid"


def price_text(price: Price) -> str:
    per = f" per {price.per:,}" if price.per != 1 else ""
    if price.tiers:
        said = ", ".join(f"{t.price} to {t.up_to:,}" if t.up_to else f"then {t.price}" for t in price.tiers)
        said = f"{price.model}: {said}{per}"
    elif price.model == "percentage":
        assert price.percent is not None
        said = f"{price.percent.scaleb(2).normalize():f}% of the amount"
    elif price.model == "package":
        said = f"{price.price} for each begun {price.package:,}"
    else:
        said = f"{price.price}{per}"
    extras = [
        f"{price.included:,} included" if price.included else "",
        f"up to {price.rollover.max:,} carried over" if price.rollover else "",
        f"less {price.discount.scaleb(2).normalize():f}%" if price.discount else "",
        f"at least {price.minimum}" if price.minimum is not None else "",
        f"at most {price.cap}" if price.cap is not None else "",
        f"of {', '.join(price.buckets or price.weights)}" if price.buckets or price.weights else "",
        f"for {', '.join(price.models or price.of)}" if price.models or price.of else "",
    ]
    return "; ".join([said, *(e for e in extras if e)])
