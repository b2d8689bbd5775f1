"""A key that verifies tokens, ready to use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushhub.log.grant import Basis

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPublicKeys


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key with its one algorithm. `material` identifies it; `basis` is that of the grants of its
    tokens.
    """

    algorithm: str
    kid: str | None
    key: AllowedPublicKeys | bytes = field(repr=False)
    material: bytes = field(repr=False)
    basis: Basis = field(default_factory=Basis, compare=False, repr=False)
