"""Numbers as docs/scale.md writes them."""

from __future__ import annotations


def rate_text(rate: float) -> str:
    return f"{rate:,.0f}"


def round_dollars(amount: float) -> str:
    return f"{amount:,.2f}" if amount < 100 else f"{float(f'{amount:.3g}'):,.0f}"


def approximately(number: float) -> str:
    """With three digits."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.2g}"


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
