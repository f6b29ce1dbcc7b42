"""What attacks around another one have in common: they change its loss, and neither its bound nor its lattice."""

from torch import Tensor

from pipeline_lib.attacks.protocols import LatticeAttack


class Around:
    """Bound and lattice of the attack in the field `attack`."""

    attack: LatticeAttack

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return self.attack.quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The ratio of the inner attack, if it has a bound."""
        return self.attack.ratio_to_bound(adversarial, clean)  # type: ignore[attr-defined]
